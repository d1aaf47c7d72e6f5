"""Syslog over TLS with real clients: who gets in, who does not, and that nobody is held up by another."""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import socket
import ssl
from pathlib import Path

import pytest
from parts.brokers import Certificates
from parts.collecting import collecting, listeners
from parts.sinks import ListSink

from collectors.syslog.connection import READ_BYTES

pytestmark = pytest.mark.needs("openssl")
LINE = b"<13>Oct 11 22:14:15 host su: %d\n"
BIND = "tls://127.0.0.1:0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority) -> dict[str, str]:
    """The listener's own files."""
    cert, key = authority.issue("collector.test", days=30)
    return {"cert_file": str(cert), "key_file": str(key)}


@pytest.fixture(scope="module")
def required(authority, server) -> dict[str, str]:
    return {**server, "client_certificates": "required", "ca_file": str(authority.ca)}


def trusting(authority: Certificates, mine: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's context: trusts the CA, shows its own certificate if it has one."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if mine is not None:
        context.load_cert_chain(*map(str, mine))
    return context


def call(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect and shake hands; blocks, so call it in a thread."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except OSError:
        sock.close()
        raise


@contextlib.asynccontextmanager
async def calling(port: int, context: ssl.SSLContext):
    with await asyncio.to_thread(call, port, context) as tls:
        yield tls


async def refused(port: int, context: ssl.SSLContext) -> str:
    """Call, say a line and wait for the end: with TLS 1.3 a client learns only then that it was not wanted."""

    def say() -> str:
        with call(port, context) as tls:
            tls.sendall(LINE % 1)
            try:
                return f"it said {tls.recv(1)!r}"
            except OSError as error:
                return type(error).__name__

    try:
        return await asyncio.to_thread(say)
    except OSError as error:
        return type(error).__name__


async def last_failure(sink: ListSink) -> str:
    """Why the last handshake failed, as soon as status shows it."""
    await sink.until(lambda: listeners(sink)[0].get("last_handshake_failure"))
    return listeners(sink)[0]["last_handshake_failure"]["why"]


async def test_lines_and_counted_messages_become_rows_of_transport_tls(authority, server) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        await asyncio.to_thread(tls.sendall, b"%d %s" % (len(LINE % 1) - 1, LINE[:-1] % 1) + LINE % 2)
        await sink.until(lambda: len(sink.rows) == 2)
        ours, version = tls.getsockname(), tls.version()
    assert (["1", "2"], "TLSv1.3") == (sink.column("message"), version)
    assert [(*ours, "tls", None)] * 2 == list(
        zip(*map(sink.column, ("peer", "port", "transport", "identity")), strict=True)
    )


async def test_tls_1_2_is_spoken_and_nothing_older(authority, server) -> None:
    sink = ListSink()
    old, older = trusting(authority), trusting(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.deprecated_call():
        older.minimum_version, older.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    older.set_ciphers("ALL:@SECLEVEL=0")
    async with collecting(sink, BIND, **server) as (port,):
        async with calling(port, old) as tls:
            await asyncio.to_thread(tls.sendall, LINE % 1)
            await sink.until(lambda: sink.rows)
        await refused(port, older)
        why = await last_failure(sink)
    assert "the sender knows no TLS 1.2" == why


async def test_the_subject_of_a_client_stands_in_identity(authority, required) -> None:
    sink, mine = ListSink(), trusting(authority, authority.issue("camera-7.hue"))
    async with collecting(sink, BIND, **required) as (port,), calling(port, mine) as tls:
        await asyncio.to_thread(tls.sendall, LINE % 1)
        await sink.until(lambda: sink.rows)
    assert ["camera-7.hue"] == sink.column("identity")


async def test_an_optional_certificate_may_be_missing_but_not_wrong(authority, server, tmp_path) -> None:
    sink = ListSink()
    stranger = Certificates.make(tmp_path, name="another CA").issue("stranger")
    optional = {**server, "client_certificates": "optional", "ca_file": str(authority.ca)}
    async with collecting(sink, BIND, **optional) as (port,):
        async with calling(port, trusting(authority)) as tls:
            await asyncio.to_thread(tls.sendall, LINE % 1)
            await sink.until(lambda: sink.rows)
        await refused(port, trusting(authority, stranger))
        await sink.until(lambda: sink.counted["handshake-failed"] == 1)
    assert ([None], 1) == (sink.column("identity"), len(sink.rows))


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("nobody", "the sender shows no certificate, and client_certificates is required"),
        ("stranger", "the sender's certificate is refused: unable to get local issuer certificate"),
        ("expired", "the sender's certificate is refused: certificate has expired"),
    ],
)
async def test_who_has_no_valid_certificate_is_refused_counted_and_shown(
    authority, required, tmp_path, who: str, why: str
) -> None:
    mine = {
        "nobody": lambda: None,
        "stranger": lambda: Certificates.make(tmp_path, name="another CA").issue("stranger"),
        "expired": lambda: authority.issue("expired", days=-1),
    }[who]()
    sink = ListSink()
    async with collecting(sink, BIND, **required) as (port,):
        await refused(port, trusting(authority, mine))
        await sink.until(lambda: listeners(sink)[0].get("last_handshake_failure"))
        (facts,) = listeners(sink)
    assert (why, "127.0.0.1") == (facts["last_handshake_failure"]["why"], facts["last_handshake_failure"]["peer"])
    assert ({"handshake-failed": 1}, []) == (sink.counted, sink.rows)


async def test_a_sender_that_does_not_trust_us_is_shown_with_what_to_do(server, tmp_path) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,):
        assert "SSLCertVerificationError" == await refused(port, trusting(Certificates.make(tmp_path)))
        why = await last_failure(sink)
    assert "give it the CA that signed cert_file" in why


async def test_lines_without_tls_are_refused(server) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(LINE % 1)
            why = await last_failure(sink)
    assert ("the sender speaks no TLS", {"handshake-failed": 1}) == (why, sink.counted)


async def test_who_never_finishes_the_handshake_holds_nobody_up_and_is_closed(authority, server) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, handshake_seconds=1, **server) as (port,):
        with socket.create_connection(("127.0.0.1", port)) as stuck:
            stuck.sendall(b"\x16\x03\x01\x02\x00\x01")  # a ClientHello of 512 bytes begins
            async with calling(port, trusting(authority)) as tls:
                await asyncio.to_thread(tls.sendall, LINE % 1)
                await sink.until(lambda: sink.rows)
            assert not sink.counted["handshake-timeout"]
            await sink.until(lambda: sink.counted["handshake-timeout"] == 1)
            stuck.setblocking(False)
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(stuck, 1)


async def test_connections_that_shake_hands_count_to_the_limit(authority, server) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, max_connections=2, **server) as (port,):
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            await sink.until(lambda: listeners(sink)[0]["handshakes"] == 2)
            assert "it said" not in await refused(port, trusting(authority))
            assert 1 == sink.counted["connection-limit"]
        await sink.until(lambda: listeners(sink)[0]["handshakes"] == 0)
        async with calling(port, trusting(authority)) as tls:
            await asyncio.to_thread(tls.sendall, LINE % 1)
            await sink.until(lambda: sink.rows)


async def test_many_small_records_are_read_as_few_chunks(authority, server) -> None:
    """What is decrypted and not read would wake no selector: each line must arrive without another one behind it."""
    sink = ListSink()
    count = 3 * READ_BYTES // len(LINE)
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:

        def send_one_by_one() -> None:
            for number in range(count):
                tls.sendall(LINE % number)

        sink.fill()
        await asyncio.to_thread(send_one_by_one)
        sink.empty()
        await sink.until(lambda: len(sink.rows) == count, seconds=20)
    assert [str(number) for number in range(count)] == sink.column("message")
    assert len({id(stamp) for stamp in sink.column("received")}) < count / 100


async def test_a_large_chunk_over_many_records_keeps_its_order(authority, server) -> None:
    sink = ListSink()
    data = b"".join(LINE % number for number in range(20_000))
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        await asyncio.to_thread(tls.sendall, data)
        await sink.until(lambda: len(sink.rows) == 20_000, seconds=20)
    assert [str(number) for number in range(20_000)] == sink.column("message")


async def test_after_close_notify_a_line_without_its_end_is_whole_and_the_sender_is_answered(authority, server) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        await asyncio.to_thread(tls.sendall, (LINE % 1)[:-1])
        plain = await asyncio.to_thread(tls.unwrap)  # returns when our close_notify has come
        plain.close()
        await sink.until(lambda: sink.rows)
    assert ([None], {}) == (sink.column("flag"), sink.counted)


async def test_a_stream_that_ends_without_close_notify_is_counted_and_half_a_line_is_no_whole_one(
    authority, server
) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        await asyncio.to_thread(tls.sendall, LINE % 1 + b"<13>Oct 11 22:14:15 host su: half")
        os.close(tls.detach())
        await sink.until(lambda: len(sink.rows) == 2)
    assert (["1", "half"], [None, "cut"]) == (sink.column("message"), sink.column("flag"))
    assert {"truncated": 1, "cut": 1} == sink.counted


async def test_a_record_that_was_tampered_with_ends_the_connection_and_keeps_what_came_before(
    authority, server
) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        await asyncio.to_thread(tls.sendall, LINE % 1)
        with socket.socket(fileno=os.dup(tls.fileno())) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            await sink.until(lambda: sink.counted["tls-broken"])
    assert ["1"] == sink.column("message")


async def test_without_room_nothing_is_read_and_the_sender_waits(authority, server) -> None:
    sink = ListSink()
    sink.fill()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as tls:
        tls.settimeout(0.5)
        sent = 0

        def pour() -> None:
            nonlocal sent
            while True:
                tls.sendall(LINE % 7 * 400)
                sent += 400

        with pytest.raises(TimeoutError):
            await asyncio.to_thread(pour)
        assert not sink.rows
        sink.empty()
        await sink.until(lambda: len(sink.rows) >= sent, seconds=20)


async def test_a_stop_takes_what_a_sender_has_handed_over_and_the_sender_knows_where_it_ends(authority, server) -> None:
    sink = ListSink()
    async with contextlib.AsyncExitStack() as calls:
        async with collecting(sink, BIND, **server) as (port,):
            tls = await calls.enter_async_context(calling(port, trusting(authority)))
            await asyncio.to_thread(tls.sendall, b"".join(LINE % number for number in range(5_000)))
        with pytest.raises((ConnectionError, ssl.SSLEOFError)):
            await asyncio.to_thread(tls.sendall, LINE % 1)
    assert (5_000, {}) == (len(sink.rows), sink.counted)


@pytest.mark.parametrize("flags", [(), ("-tls1_2",)], ids=["1.3", "1.2"])
async def test_openssl_s_client_is_a_sender(authority, required, flags: tuple[str, ...]) -> None:
    sink = ListSink()
    cert, key = authority.issue("s-client")
    async with collecting(sink, BIND, **required) as (port,):
        process = await asyncio.create_subprocess_exec(
            *(shutil.which("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", authority.ca),
            *("-cert", cert, "-key", key, "-verify_return_error", "-quiet", "-no_ign_eof", *flags),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.communicate(LINE % 1 + LINE % 2)
        await sink.until(lambda: len(sink.rows) == 2)
    assert (["1", "2"], ["s-client"] * 2) == (sink.column("message"), sink.column("identity"))


@pytest.fixture
def many_descriptors(leave_out):
    """Both ends of a thousand connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4_096:
        leave_out(f"at most {hard} descriptors, 4096 are needed: ulimit -Hn 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_idle_connections_leave_room_for_one_that_speaks(authority, server, many_descriptors) -> None:
    sink = ListSink()
    async with collecting(sink, BIND, max_connections_per_peer=0, handshake_seconds=120, **server) as (port,):
        context = trusting(authority)
        idle = await asyncio.to_thread(lambda: [call(port, context) for _ in range(1_000)])
        await sink.until(lambda: listeners(sink)[0]["connections"] == 1_000, seconds=30)
        idle[-1].sendall(LINE % 1)
        await sink.until(lambda: sink.rows)
        for each in idle:
            each.close()
        await sink.until(lambda: listeners(sink)[0]["connections"] == 0, seconds=30)


async def test_records_of_one_byte_are_lines_all_the_same_and_hold_nobody_up(authority, server) -> None:
    sink, context, data = ListSink(), trusting(authority), (LINE % 1) * 400
    async with (
        collecting(sink, BIND, **server) as (port,),
        calling(port, context) as slow,
        calling(port, context) as one,
    ):

        def trickle() -> None:
            for at in range(len(data)):
                slow.sendall(data[at : at + 1])

        trickling = asyncio.create_task(asyncio.to_thread(trickle))
        await asyncio.to_thread(one.sendall, LINE % 2)
        await sink.until(lambda: "2" in sink.column("message"))
        await trickling
        await sink.until(lambda: len(sink.rows) == 401, seconds=20)
    assert 400 == sink.column("message").count("1")


async def test_random_bytes_and_broken_handshakes_end_alone(authority, server) -> None:
    noise = random.Random(5425)

    def throw(port: int) -> None:
        hello = bytearray.fromhex("16030100c8010000c40303") + noise.randbytes(190)
        for _ in range(150):
            data = bytearray(noise.choice((noise.randbytes(300), bytes(hello))))
            data[noise.randrange(len(data))] ^= 1 << noise.randrange(8)
            with socket.create_connection(("127.0.0.1", port)) as sock, contextlib.suppress(OSError):
                sock.sendall(data[: noise.randrange(1, len(data))])

    sink = ListSink()
    async with collecting(sink, BIND, **server) as (port,), calling(port, trusting(authority)) as good:
        await asyncio.to_thread(throw, port)
        await asyncio.to_thread(good.sendall, LINE % 1)
        await sink.until(lambda: sink.rows)
        await sink.until(lambda: sink.counted["handshake-failed"] == 150)
        await sink.until(lambda: listeners(sink)[0]["handshakes"] == 0)
    assert ["1"] == sink.column("message")
