"""The real rsyslog forwards to us over TLS, by GnuTLS, with a certificate of its own."""

import asyncio
import socket
import subprocess
from pathlib import Path

import pytest
from parts.brokers import Certificates, find_program, free_port
from parts.collecting import collecting
from parts.sinks import ListSink
from parts.site import until

GTLS = [Path(folder) / "rsyslog" / "lmnsd_gtls.so" for folder in ("/usr/lib", *Path("/usr/lib").glob("*-linux-gnu"))]
LINE = b"<13>Nov 25 10:00:00 camera-7 su[7]: number %d\n"


def has_gnutls() -> bool:
    return any(path.exists() for path in GTLS)


@pytest.mark.needs("rsyslogd", "openssl")
async def test_rsyslog_forwards_over_tls_with_its_certificate(tmp_path, leave_out) -> None:
    if not has_gnutls():
        leave_out("rsyslog cannot speak TLS: apt install rsyslog-gnutls")
    authority = Certificates.make(tmp_path / "ca")
    (ours, our_key), (its, its_key) = authority.issue("collector.test"), authority.issue("relay-3.hue")
    options = {"cert_file": str(ours), "key_file": str(our_key), "ca_file": str(authority.ca)}
    sink, own_port = ListSink(), free_port()
    async with collecting(sink, "tls://127.0.0.1:0", client_certificates="required", **options) as (port,):
        config = tmp_path / "rsyslog.conf"
        config.write_text(
            f"""
            global(workDirectory="{tmp_path}" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{authority.ca}"
                   defaultNetstreamDriverCertFile="{its}" defaultNetstreamDriverKeyFile="{its_key}")
            module(load="imptcp")
            input(type="imptcp" address="127.0.0.1" port="{own_port}")
            action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format"
                   TCP_Framing="octet-counted" StreamDriver="gtls" StreamDriverMode="1"
                   StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="collector.test")
            """
        )
        command = [find_program("rsyslogd"), "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
        with (tmp_path / "rsyslog.log").open("wb") as log:
            rsyslog = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            await feed(own_port, 200)
            await sink.until(lambda: len(sink.rows) == 200, seconds=30)
        finally:
            rsyslog.terminate()
            await asyncio.to_thread(rsyslog.wait, 10)
    assert [f"number {number}" for number in range(200)] == [message.lstrip() for message in sink.column("message")]
    assert {("relay-3.hue", "tls", "rfc5424", "camera-7", "su", "7", None)} == set(
        zip(
            *map(sink.column, ("identity", "transport", "format", "hostname", "app_name", "proc_id", "flag")),
            strict=True,
        )
    )
    assert not set(sink.counted) - {"truncated", "reset"}  # how it hangs up is its own affair


async def feed(port: int, count: int) -> None:
    """Send lines to rsyslog as soon as it listens."""
    with await until(lambda: connected(port), seconds=20, what="rsyslog listens") as sock:
        sock.sendall(b"".join(LINE % number for number in range(count)))


def connected(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=1)
    except ConnectionRefusedError:
        return None
