"""Real MQTT brokers for tests: mosquitto, nats-server and amqtt as child processes on free loopback ports.

Each is an async context manager that gives a `Running` broker once its port answers, and ends it by its own pid. A
test that needs the broker to die calls `kill()` (SIGKILL) or `stop()` (SIGTERM), and `start()` on the same port.

    async with mosquitto(tmp_path) as broker:
        ... broker.url ...
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_SECONDS = 20.0


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str) -> str:
    """Give the path of a broker's program, or leave the test out (fail it when CI is set)."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        said = f"{name} is not on PATH: apt install {name.removesuffix('_passwd')}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return path


@dataclass
class Running:
    """One broker process.

    Attributes:
        port: of its first listener on 127.0.0.1.
        command: how it is started again on the same port, with the same configuration and files.
        log: what it wrote to stdout and stderr.
    """

    port: int
    command: list[str]
    log: Path
    scheme: str = "mqtt"
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start the process and return when its port answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not await _answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command} did not start: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it by SIGKILL: what it held in memory is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it by SIGTERM."""
        await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): the port answers, nobody is at home."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            os.kill(process.pid, how)
            os.kill(process.pid, signal.SIGCONT)
        try:
            await asyncio.to_thread(process.wait, 10.0)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running(broker: Running) -> AsyncIterator[Running]:
    """Keep a broker running for the length of a test."""
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()


@asynccontextmanager
async def mosquitto(
    folder: Path,
    *,
    options: Iterable[str] = (),
    listeners: Iterable[Iterable[str]] = (),
    acl: str | None = None,
    passwords: Mapping[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
    client_ca: Path | None = None,
) -> AsyncIterator[Running]:
    """Run mosquitto on a free port.

    Args:
        folder: for its configuration, log and persistence (give the same folder again to find the old state).
        options: further lines of mosquitto.conf, like `max_queued_messages 100` or `persistence true`.
        listeners: lines of each further listener, whose first is `listener PORT 127.0.0.1`.
        acl: text of the ACL file.
        passwords: user to password; then nobody else may connect.
        tls: certificate and key of the server: the listener speaks TLS only.
        client_ca: the CA whose client certificates are asked for; the CN becomes the user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = ["per_listener_settings false", "log_dest stdout", "log_type all", f"persistence_location {folder}/"]
    lines += [] if os.getuid() else ["user root"]  # else it drops to a user that cannot read tmp_path
    lines += _access(folder, acl, passwords, certified=client_ca is not None)
    lines += [*options, f"listener {port} 127.0.0.1"]
    if tls:
        lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
    if client_ca:
        lines += [f"cafile {client_ca}", "require_certificate true", "use_identity_as_username true"]
    for listener in listeners:
        lines += listener
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    command = [find_program("mosquitto"), "-c", str(config)]
    scheme, host = ("mqtts", "localhost") if tls else ("mqtt", "127.0.0.1")
    broker = Running(port, command, folder / "mosquitto.log", scheme=scheme, host=host)
    async with running(broker):
        yield broker


def _access(folder: Path, acl: str | None, passwords: Mapping[str, str] | None, *, certified: bool) -> list[str]:
    lines = []
    if passwords is not None:
        file = folder / "passwords"
        file.write_text("".join(f"{user}:{password}\n" for user, password in passwords.items()))
        subprocess.run([find_program("mosquitto_passwd"), "-U", str(file)], check=True)
        file.chmod(0o600)
        lines.append(f"password_file {file}")
    lines.append(f"allow_anonymous {'false' if passwords is not None or certified else 'true'}")
    if acl is not None:
        file = folder / "acl"
        file.write_text(acl)
        file.chmod(0o600)
        lines.append(f"acl_file {file}")
    return lines


@asynccontextmanager
async def nats(folder: Path, *, config: str = "") -> AsyncIterator[Running]:
    """Run nats-server with its MQTT listener (3.1.1 only, needs JetStream) on a free port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "nats.conf"
    file.write_text(
        f'server_name: test\nhost: "127.0.0.1"\nport: {free_port()}\n'
        f'jetstream {{ store_dir: "{folder}/jetstream" }}\nmqtt {{ host: "127.0.0.1", port: {port} }}\n{config}\n'
    )
    async with running(Running(port, [find_program("nats-server"), "-c", str(file)], folder / "nats.log")) as broker:
        yield broker


@asynccontextmanager
async def amqtt(folder: Path) -> AsyncIterator[Running]:
    """Run amqtt (3.1.1 only), the embedded broker of the demo, in its own process on a free port."""
    pytest.importorskip("amqtt")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "amqtt.yaml"
    file.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(file)]
    async with running(Running(port, command, folder / "amqtt.log")) as broker:
        yield broker


@dataclass(frozen=True)
class Certificates:
    """A CA made for one test: give it a folder, get certificates that it signed.

    Attributes:
        ca: the CA's certificate (PEM).
    """

    folder: Path
    ca: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, *, name: str = "edgepost test CA") -> "Certificates":
        folder.mkdir(parents=True, exist_ok=True)
        ca, key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *_KEY, "-keyout", key, "-out", ca, "-days", "2", "-subj", f"/CN={name}")
        return cls(folder, ca, key)

    def issue(self, common_name: str, *, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """Sign a certificate for a server or a client, over already if `days` is negative; give (certificate, key)."""
        stem = self.folder / common_name
        cert, key, request = (stem.with_suffix(end) for end in (".pem", ".key", ".csr"))
        _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={common_name}")
        extra = stem.with_suffix(".ext")
        extra.write_text(f"subjectAltName={names}\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                 "-out", cert, "-days", str(days), "-extfile", extra)  # fmt: skip
        return cert, key


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    command = [find_program("openssl"), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
