"""Sockets that systemd hands over: taken by address or by name, and nothing is lost while the agent starts anew."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from parts.brokers import Certificates, free_port
from parts.site import environment, until

from agent.ask import NoAgent, ask_once
from collectors.handed_over import HandedOver

LINE = b"<13>Oct 11 22:14:15 host su: %d"
MOVE = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",")]
for place, number in enumerate(given): os.dup2(number, 200 + place)  # out of the way first
for place in range(len(given)): os.dup2(200 + place, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=sys.argv[2])
os.closerange(3 + len(given), 300)
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


class Agent:
    """An agent whose broker is away, started with descriptors at 3 and on, as systemd does."""

    def __init__(self, folder: Path, *binds: str, **options: object) -> None:
        self.folder = folder
        self.socket = folder / "status.sock"
        listeners = [{"bind": bind, **options} for bind in binds]
        config = {
            "version": 1,
            "agent": "edge-1",
            "site": "lab",
            "state_dir": str(folder / "state"),
            "socket": str(self.socket),
            "forward": {"brokers": [{"url": f"mqtt://127.0.0.1:{free_port()}"}], "stop_grace_seconds": 1},
            "collectors": [{"collector": "syslog", "listeners": listeners}],
        }
        (folder / "agent.yaml").write_text(json.dumps(config))
        self.command = ["-m", "agent.cli", "run", str(folder / "agent.yaml")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, sockets: Sequence[socket.socket], names: str) -> None:
        given = [sock.fileno() for sock in sockets]
        mover = [sys.executable, "-c", MOVE, ",".join(map(str, given)), names]
        self.run([*mover, *self.command], pass_fds=given)

    def run(self, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log, pass_fds=pass_fds)

    async def end(self) -> int:
        """Ask it to stop; give its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, 20)
        finally:
            process.kill()
            process.wait()

    def status(self) -> dict:
        try:
            return ask_once(str(self.socket), {"verb": "status"})
        except NoAgent:
            return {}

    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")[-3000:]

    def listeners(self) -> list[dict]:
        collectors = self.status().get("collectors") or [{}]
        return (collectors[0].get("report") or {}).get("listeners", [])

    def is_listening(self) -> bool:
        listeners = self.listeners()
        return bool(listeners) and all(one["state"] == "listening" for one in listeners)

    def received(self) -> int:
        """Rows of syslog in the account, over all starts."""
        account = self.status().get("buffer", {}).get("account", ())
        return sum(one["rows"] for one in account if (one["stream"], one["what"]) == ("syslog", "received"))

    async def until(self, is_so, what: str):
        return await until(is_so, seconds=30, what=what, log=self.log)


def bound(kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def send(sock: socket.socket, number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(LINE % number, sock.getsockname())


async def test_sockets_are_taken_by_address_and_type_by_name_and_unused_ones_are_said(tmp_path) -> None:
    udp, tcp, named, unused = (bound(socket.SOCK_DGRAM if n in {0, 2} else socket.SOCK_STREAM) for n in range(4))
    agent = Agent(
        tmp_path, f"udp://127.0.0.1:{udp.getsockname()[1]}", f"tcp://127.0.0.1:{tcp.getsockname()[1]}", "fd://other"
    )
    try:
        agent.start([udp, tcp, named, unused], "a:b:other:left")
        await agent.until(agent.is_listening, "all three listen")
        for number, sock in enumerate((udp, named)):
            send(sock, number)
        with socket.create_connection(tcp.getsockname()) as out:
            out.sendall(LINE % 2 + b"\n")
        await agent.until(lambda: agent.received() == 3, "three rows")
        listeners, problems = agent.listeners(), agent.status()["problems"]
    finally:
        await agent.end()
    assert [True] * 3 == [one["handed_over"] for one in listeners]
    assert ["udp", "tcp", "udp"] == [one["transport"] for one in listeners]
    assert [named.getsockname()[1]] == [one["port"] for one in listeners if one["bind"] == "fd://other"]
    (said,) = [problem["what"] for problem in problems if "handed over" in problem["what"]]
    assert f"left, stream at 127.0.0.1 port {unused.getsockname()[1]}" in said


async def test_what_comes_while_the_agent_starts_anew_waits_and_is_taken(tmp_path) -> None:
    udp, tcp = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    agent = Agent(tmp_path, "fd://syslog", "fd://syslog")
    try:
        for begin in (0, 10, 20):
            for number in range(begin, begin + 10):
                send(udp, number)
            out = socket.create_connection(tcp.getsockname())
            out.sendall(LINE % begin + b"\n")
            agent.start([udp, tcp], "syslog:syslog")
            rows = 11 * (begin // 10 + 1)
            await agent.until(lambda rows=rows: agent.received() == rows, f"{rows} rows")
            assert 0 == await agent.end()
            out.close()
    finally:
        await agent.end()
    send(udp, 99)
    assert LINE % 99 == udp.recv(100)  # no filter of ours has stayed on it


async def test_a_unix_socket_that_was_handed_over_keeps_its_file(tmp_path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as handed, socket.socket(socket.AF_UNIX, 2) as out:
        handed.bind(str(path))
        out.connect(str(path))
        agent = Agent(tmp_path, f"unix://{path}")
        try:
            out.send(b"<13>Oct 11 22:14:15 su: 1")
            agent.start([handed], "log")
            await agent.until(lambda: agent.received() == 1, "one row")
        finally:
            await agent.end()
        out.send(b"<13>Oct 11 22:14:15 su: 2")
        assert b"2" == handed.recv(100)[-1:]
        assert path.is_socket()


@pytest.mark.needs("openssl")
async def test_a_stream_that_was_handed_over_speaks_tls_where_a_certificate_is_set(tmp_path) -> None:
    authority = Certificates.make(tmp_path / "ca")
    cert, key = authority.issue("collector", days=30)
    tcp = bound(socket.SOCK_STREAM)
    beside = {"cert_file": str(cert.relative_to(tmp_path)), "key_file": str(key.relative_to(tmp_path))}
    agent = Agent(tmp_path, "fd://tls", **beside)
    try:
        agent.start([tcp], "tls")
        await agent.until(agent.is_listening, "it listens")
        context = ssl.create_default_context(cafile=str(authority.ca))

        def say() -> None:
            plain = socket.create_connection(tcp.getsockname(), timeout=5)
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(LINE % 1 + b"\n")

        await asyncio.to_thread(say)
        await agent.until(lambda: agent.received() == 1, "one row")
        (facts,) = agent.listeners()
    finally:
        await agent.end()
    assert ("tls", 29, True) == (facts["transport"], facts["certificate_days"], facts["handed_over"])


async def test_a_buffer_smaller_than_asked_is_said_with_what_the_socket_unit_needs(tmp_path) -> None:
    udp = bound(socket.SOCK_DGRAM)
    agent = Agent(tmp_path, "fd://syslog", receive_buffer_bytes=1 << 30)
    try:
        agent.start([udp], "syslog")
        await agent.until(agent.is_listening, "it listens")
        (facts,) = agent.listeners()
    finally:
        await agent.end()
    if facts["receive_buffer_bytes"] < facts["asked_bytes"]:  # as root the kernel grants what is asked
        assert "ReceiveBuffer=1073741824" in facts["remedy"]
    granted = udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    assert granted == facts["receive_buffer_bytes"]


@pytest.mark.needs("systemd-socket-activate")
async def test_systemd_starts_the_agent_with_the_first_datagram(tmp_path) -> None:
    port = free_port()
    agent = Agent(tmp_path, f"udp://127.0.0.1:{port}")
    activate = [shutil.which("systemd-socket-activate") or "", "--datagram", f"--listen=127.0.0.1:{port}"]
    passed = [f"--setenv={name}" for name in ("PYTHONPATH", "PATH") if name in environment()]
    try:
        agent.run([*activate, *passed, "--fdname=syslog", sys.executable, *agent.command])
        await agent.until(lambda: "Listening on" in agent.log(), "systemd-socket-activate listens")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(LINE % 1, ("127.0.0.1", port))
        await agent.until(lambda: agent.received() == 1, "the datagram is a row")
        assert [True] == [one["handed_over"] for one in agent.listeners()]
    finally:
        await agent.end()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "a"},
    ],
    ids=["nothing", "another process", "no number", "none"],
)
def test_what_is_not_meant_for_us_is_not_taken(environment: dict[str, str]) -> None:
    given = dict(environment)
    assert [] == HandedOver(given).unused()
    assert {} == given
