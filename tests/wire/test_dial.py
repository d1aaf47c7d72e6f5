"""Why there is no connection, in words, and what to do; TLS with certificates made for each test."""

import asyncio
import socket
import ssl

import pytest
from parts.brokers import Certificates, free_port, mosquitto

from wire.client import MQTT_311, Broker, ConnectFailed, connect
from wire.dial import dial
from wire.secret import Secret


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Certificates.make(tmp_path_factory.mktemp("stranger"), name="another CA")


async def failure(broker, *, is_old=False, **options):
    with pytest.raises(ConnectFailed) as caught:
        async with connect(broker, client_id="gw-1", **options):
            pass
    assert caught.value.remedy
    assert is_old == caught.value.is_old_broker
    return str(caught.value)


async def test_tls_is_verified_by_name_although_the_socket_is_connected_by_address(tmp_path, certificates):
    async with mosquitto(tmp_path, tls=certificates.issue("localhost", names="DNS:localhost")) as running:
        ca = str(certificates.ca)
        async with connect(Broker(url=running.url, ca_file=ca), client_id="gw-1") as client:
            assert await client.publish_acked("a", b"1") == 0x10
        by_address = Broker(url=f"mqtts://127.0.0.1:{running.port}", ca_file=ca)
        assert "is for another name" in await failure(by_address)


async def test_a_certificate_of_another_ca_is_refused(tmp_path, certificates, stranger):
    async with mosquitto(tmp_path, tls=certificates.issue("localhost")) as running:
        assert "is not signed by ca_file" in await failure(Broker(url=running.url, ca_file=str(stranger.ca)))
        assert "is not signed by this machine's CAs" in await failure(Broker(url=running.url))


async def test_a_client_certificate_is_the_user_and_without_it_the_reason_is_told(tmp_path, certificates):
    server, own = certificates.issue("localhost"), certificates.issue("gw-01")
    acl = "user gw-01\ntopic readwrite own/#\n"
    async with mosquitto(tmp_path, tls=server, client_ca=certificates.ca, acl=acl) as running:
        ca = str(certificates.ca)
        with_own = Broker(url=running.url, ca_file=ca, cert_file=str(own[0]), key_file=str(own[1]))
        async with connect(with_own, client_id="gw-1") as client:
            assert await client.publish_acked("own/a", b"1") == 0x10
        assert "certificate required" in await failure(Broker(url=running.url, ca_file=ca))


async def test_a_renewed_ca_file_is_taken_up_at_the_next_connection(tmp_path, certificates, stranger):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(stranger.ca.read_bytes())
    async with mosquitto(tmp_path / "broker", tls=certificates.issue("localhost")) as running:
        broker = Broker(url=running.url, ca_file=str(ca))
        await failure(broker)
        ca.write_bytes(certificates.ca.read_bytes())
        async with connect(broker, client_id="gw-1"):
            pass


async def test_files_that_cannot_be_read_are_named(tmp_path, certificates):
    url = f"mqtts://localhost:{free_port()}"
    assert "ca_file /nowhere" in await failure(Broker(url=url, ca_file="/nowhere"))
    empty = tmp_path / "empty.pem"
    empty.touch()
    reason = await failure(Broker(url=url, ca_file=str(certificates.ca), cert_file=str(empty), key_file=str(empty)))
    assert f"cert_file {empty}" in reason


async def test_user_and_password_are_checked(tmp_path):
    async with mosquitto(tmp_path, passwords={"gw": "right"}) as running:
        async with connect(Broker(url=running.url, user="gw", password=Secret("right")), client_id="gw-1") as client:
            assert await client.publish_acked("a", b"1") == 0x10
        for password in (Secret("wrong"), None):
            assert "refuses us" in await failure(Broker(url=running.url, user="gw", password=password))
            assert "refuses us" in await failure(Broker(url=running.url, user="gw", password=password), protocol=4)


async def test_tls_to_a_port_without_tls_and_back(tmp_path, certificates):
    async with mosquitto(tmp_path / "plain") as plain:
        assert "TLS" in await failure(Broker(url=f"mqtts://localhost:{plain.port}", ca_file=str(certificates.ca)))
    async with mosquitto(tmp_path / "tls", tls=certificates.issue("localhost")) as encrypted:
        reason = await failure(Broker(url=f"mqtt://localhost:{encrypted.port}"))
        assert "closes the connection without an answer" in reason


async def test_a_closed_port_and_an_unknown_name():
    assert "nobody listens" in await failure(Broker(url=f"mqtt://127.0.0.1:{free_port()}"))
    assert "cannot be resolved" in await failure(Broker(url="mqtt://no.such.name.invalid"))


async def test_a_listener_that_never_answers_costs_the_time_out_and_is_worth_a_try_with_mqtt_311(certificates):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        plain = Broker(url=f"mqtt://127.0.0.1:{port}")
        assert "does not answer our CONNECT" in await failure(plain, timeout=0.2, is_old=True)
        assert "does not answer our CONNECT" in await failure(plain, timeout=0.2, protocol=MQTT_311)
        tls = Broker(url=f"mqtts://127.0.0.1:{port}", ca_file=str(certificates.ca))
        assert "does not answer" in await failure(tls, timeout=0.2)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x20\x00", b"\x00"]
)
async def test_a_listener_that_speaks_something_else(said):
    async def answer(reader, writer):
        await reader.read(1)
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await failure(Broker(url=f"mqtt://127.0.0.1:{port}"), timeout=2)


async def test_every_address_of_a_name_is_tried(tmp_path, monkeypatch):
    async with mosquitto(tmp_path) as running:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", running.port, type=socket.SOCK_STREAM)
        closed = await loop.getaddrinfo("127.0.0.1", free_port(), type=socket.SOCK_STREAM)

        async def two(*_args, **_kwargs):
            return closed + found

        monkeypatch.setattr(loop, "getaddrinfo", two)
        async with connect(Broker(url=running.url), client_id="gw-1"):
            pass


async def test_a_cancelled_attempt_leaves_no_socket(certificates, recwarn):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = Broker(url=f"mqtts://127.0.0.1:{silent.getsockname()[1]}", ca_file=str(certificates.ca))
        attempt = asyncio.create_task(dial(broker))
        other, _ = await asyncio.to_thread(silent.accept)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        with other:
            other.settimeout(5)
            while other.recv(4096):  # our hello, then the end
                pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://user:password@host", "holds a user"),
        ("http://host", "names no MQTT broker"),
        ("mqtt://", "names no MQTT broker"),
        ("mqtt://host:99999", "cannot be taken apart"),
        ("mqtt://host/path", "names no MQTT broker"),
    ],
)
def test_a_url_that_names_no_broker_is_refused(url, said):
    with pytest.raises(ValueError, match=said):
        Broker(url=url)


def test_ports_go_by_scheme_and_certificates_come_in_pairs():
    assert 1883 == Broker(url="mqtt://host").port
    assert 8883 == Broker(url="mqtts://host").port
    assert "::1" == Broker(url="mqtts://[::1]:1").host
    with pytest.raises(ValueError, match="add `key_file"):
        Broker(url="mqtts://host", cert_file="a")
    with pytest.raises(ValueError, match="add `cert_file"):
        Broker(url="mqtts://host", key_file="a")
    assert "***" in repr(Broker(url="mqtt://host", password=Secret("hidden")))
    assert ssl.HAS_TLSv1_3
