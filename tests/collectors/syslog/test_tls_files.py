"""Certificates of a listener: renewed without a restart, kept when the new ones are broken, told before they end."""

import asyncio
import shutil
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from parts.brokers import Certificates
from parts.collecting import collecting, listeners, stop
from parts.sinks import ListSink

from collectors.syslog import certificate
from collectors.syslog.certificate import read_validity
from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.identity import LENGTH, read_subject
from collectors.syslog.listener import Listener
from collectors.syslog.tls_files import find_problems

pytestmark = pytest.mark.needs("openssl")
LINE = b"<13>Oct 11 22:14:15 host su: %d\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def files(authority, tmp_path, monkeypatch) -> dict[str, str]:
    """The listener's own files, in a folder of their own, looked at often."""
    monkeypatch.setattr("collectors.syslog.collect.LOOK_SECONDS", 0.05)
    named = {"cert_file": tmp_path / "server.pem", "key_file": tmp_path / "server.key"}
    put(named, authority.issue("first", days=30))
    return {name: str(path) for name, path in named.items()}


def put(named: dict, issued: tuple[Path, Path]) -> None:
    """Put a certificate and its key in place of the old ones, each at once."""
    for target, source in zip((named["cert_file"], named["key_file"]), issued, strict=True):
        Path(shutil.copy(source, f"{target}.new")).replace(target)


def call(port: int, authority: Certificates) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority.ca))
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(sock, server_hostname="localhost")


def shown_name(tls: ssl.SSLSocket) -> str | None:
    return read_subject(tls.getpeercert())


async def test_renewed_files_are_taken_up_and_connections_that_are_made_go_on(authority, files) -> None:
    sink = ListSink()
    async with collecting(sink, "tls://127.0.0.1:0", **files) as (port,):
        with await asyncio.to_thread(call, port, authority) as before:
            put(files, authority.issue("second", days=60))
            await sink.until(lambda: listeners(sink)[0]["certificate_renewals"] >= 1)
            with await asyncio.to_thread(call, port, authority) as after:
                names = [shown_name(before), shown_name(after)]
                for number, tls in enumerate((before, after)):
                    await asyncio.to_thread(tls.sendall, LINE % number)
                    await sink.until(lambda number=number: len(sink.rows) == number + 1)
        await sink.until(lambda: listeners(sink)[0]["certificate_days"] == 59)
        assert "problem" not in listeners(sink)[0]
    assert ["first", "second"] == names


async def test_broken_new_files_change_nothing_are_shown_and_right_ones_end_that(authority, files) -> None:
    sink = ListSink()
    async with collecting(sink, "tls://127.0.0.1:0", **files) as (port,):
        Path(files["cert_file"]).write_text("-----BEGIN CERTIFICATE-----\nthis is none\n-----END CERTIFICATE-----\n")
        await sink.until(lambda: listeners(sink)[0].get("problem"))
        (facts,) = listeners(sink)
        with await asyncio.to_thread(call, port, authority) as tls:
            assert "first" == shown_name(tls)
        put(files, authority.issue("third", days=30))
        await sink.until(lambda: not listeners(sink)[0].get("problem"))
        with await asyncio.to_thread(call, port, authority) as tls:
            assert "third" == shown_name(tls)
    assert (
        f"the new files cannot be used, the old certificate goes on: cert_file {files['cert_file']}" in facts["problem"]
    )
    assert facts["remedy"]


async def test_a_key_of_another_certificate_is_no_key(authority, files) -> None:
    sink = ListSink()
    async with collecting(sink, "tls://127.0.0.1:0", **files):
        shutil.copy(authority.issue("another", days=30)[1], files["key_file"])
        await sink.until(lambda: listeners(sink)[0].get("problem"))
        (facts,) = listeners(sink)
    assert "is not the key of cert_file" in facts["problem"]


async def test_a_key_that_cannot_be_read_is_a_state_and_the_listener_opens_once_it_can(
    authority, files, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("collectors.syslog.collect.RETRY_SECONDS", 0.05)
    sink = ListSink()
    key = Path(files["key_file"])
    key.rename(tmp_path / "aside")
    config = Syslog(listeners=(Listener(bind="tls://127.0.0.1:0", **files), Listener(bind="tcp://127.0.0.1:0")))
    task = asyncio.create_task(collect(config, sink))
    await sink.until(lambda: [each["state"] for each in listeners(sink)] == ["failed", "listening"])
    facts = listeners(sink)[0]
    (tmp_path / "aside").rename(key)
    await sink.until(lambda: listeners(sink)[0]["state"] == "listening")
    await stop(task)
    assert f"key_file {key} cannot be read: No such file or directory" in facts["problem"]
    assert "who may read it" in facts["remedy"]


@pytest.mark.parametrize(
    ("days", "said"), [(13, "ends in 12 days"), (-1, "has expired on"), (15, None)], ids=["soon", "over", "not yet"]
)
async def test_a_certificate_that_ends_is_told_in_time(authority, files, days: int, said: str | None) -> None:
    put(files, authority.issue(f"lasts-{days}", days=days))
    sink = ListSink()
    async with collecting(sink, "tls://127.0.0.1:0", **files):
        await sink.until(lambda: "certificate_days" in listeners(sink)[0])
        (facts,) = listeners(sink)
    assert days - 1 == facts["certificate_days"]
    assert (said is None) == ("problem" not in facts)
    assert said is None or (said in facts["problem"] and "without a restart" in facts["remedy"])


def test_check_finds_what_is_wrong_with_the_files_beforehand(authority, files, tmp_path) -> None:
    right = Listener(bind="tls://[::]:6514", **files)
    assert [] == find_problems(right)
    Path(files["key_file"]).chmod(0o644)
    assert [f"everybody may read key_file {files['key_file']}"] == [problem.what for problem in find_problems(right)]
    assert any("everybody may read key_file" in text for text in Syslog(listeners=(right,)).warnings)
    locked = tmp_path / "locked.key"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    for key, said in ((locked, "has a passphrase"), (tmp_path, "cannot be read"), (authority.ca, "no private key")):
        (problem,) = find_problems(Listener(bind="tls://[::]:6514", cert_file=files["cert_file"], key_file=str(key)))
        assert said in problem.what
    wrong_ca = {"ca_file": str(locked), "client_certificates": "required"}
    (problem,) = find_problems(Listener(bind="tls://[::]:6514", **files, **wrong_ca))
    assert "no certificate in it" in problem.what


def test_a_chain_lasts_as_long_as_its_shortest_certificate(authority) -> None:
    short, long = (authority.issue(f"chain-{days}", days=days)[0] for days in (1, 90))
    both = read_validity(long.read_text() + short.read_text())
    assert read_validity(short.read_text()).ends == both.ends
    assert 0 == (both.ends - datetime.now(UTC)).days


@pytest.mark.parametrize("cut", [1, 2, 3, 40, 90, 150])
def test_bytes_that_are_no_certificate_are_a_value_error(authority, cut: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.ca.read_text())
    with pytest.raises(ValueError):
        certificate._read_der(der[:cut])


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, b"500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x18, b"20991231235959Z", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_both_forms_of_time_are_read(tag: int, text: bytes, expected: datetime) -> None:
    assert expected == certificate._read_time(certificate._Element(tag, text, b""))


@pytest.mark.parametrize(
    ("subject", "names", "identity"),
    [
        ((("commonName", "camera-7"),), (("DNS", "camera-7.hue.example"),), "camera-7"),
        ((("organizationName", "Hue"),), (("email", "a@b"), ("DNS", "a.example"), ("DNS", "b.example")), "a.example"),
        ((), (("IP Address", "192.0.2.7"),), "192.0.2.7"),
        ((("countryName", "VN"), ("organizationName", "Hue")), (), "countryName=VN,organizationName=Hue"),
        ((), (), "certificate without a name"),
        ((("commonName", "x" * 999),), (), "x" * LENGTH),
    ],
)
def test_an_identity_is_the_common_name_else_a_name_else_the_subject(subject, names, identity) -> None:
    described = {"subject": tuple((pair,) for pair in subject), "subjectAltName": names, "version": 3}
    assert identity == read_subject(described)


def test_who_showed_no_certificate_has_no_identity() -> None:
    assert (None, None) == (read_subject(None), read_subject({}))
