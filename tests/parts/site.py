"""A whole site as real processes: `edgepost run`, `edgepost-center receive`, a broker; to be killed and started again.

    source ──TCP──► agent (child process) ──► broker (child process) ──► receiver (child process) ──► NDJSON files

Everything lies in one folder and listens on free ports of 127.0.0.1; every process is ended by its own pid when the
context ends, however it ends.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parts.brokers import Running, free_port

from agent.ask import NoAgent, ask_once

SITE, AGENT = "lab", "edge-1"
START_SECONDS = 30.0
POLL_SECONDS = 0.02


async def until(is_so: Callable[[], Any], *, seconds: float, what: str, log: Callable[[], str] = str) -> Any:
    """Ask again and again until the answer is true; give it, or fail after a deadline with the log's end."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await asyncio.to_thread(is_so)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{log()}")
        await asyncio.sleep(POLL_SECONDS)


def environment() -> dict[str, str]:
    """The children import what the tests import, be it the tree or an installed wheel."""
    found = importlib.util.find_spec("agent")
    assert found is not None
    assert found.origin is not None
    return {**os.environ, "PYTHONPATH": str(Path(found.origin).parents[1]), "PYTHONUNBUFFERED": "1"}


class Child:
    """One of our programs as a child process."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=environment(), cwd=self.log.parent, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    async def end(self, how: signal.Signals, *, seconds: float = 30.0) -> int:
        """Send a signal, wait for the end, give the exit code; SIGKILL and a failure after the deadline."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(how)
        try:
            return await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end within {seconds} s of {how.name}\n{self.tail()}") from None

    async def kill(self) -> None:
        if self._process is not None:
            await self.end(signal.SIGKILL)

    def tail(self, lines: int = 30) -> str:
        """The end of what it said."""
        if not self.log.exists():
            return ""
        said = self.log.read_text(errors="replace").splitlines()[-lines:]
        return f"--- {self.name} ---\n" + "\n".join(said)


class Site:
    """An agent, a receiver and the broker between them.

    Attributes:
        port: of the agent's syslog listeners, UDP and TCP.
        state_dir: the agent's buffer.
        sink_dir: the receiver's files and memory.
    """

    def __init__(
        self,
        folder: Path,
        broker: Running,
        *,
        broker_url: str = "",
        rules: Sequence[Any] = (),
        listener: Mapping[str, Any] | None = None,
        **forward: Any,
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.port = free_port()
        self.state_dir, self.sink_dir = folder / "state", folder / "sink"
        self.socket = folder / "status.sock"
        self._listener = dict(listener or {})
        self._write_config(broker_url or broker.url, forward, rules)
        self.agent = Child("agent", ["-m", "agent.cli", "run", str(folder / "agent.yaml")], folder / "agent.log")
        self.receiver = Child(
            "receiver", ["-m", "center.cli", "receive", str(folder / "center.yaml")], folder / "center.log"
        )

    def _write_config(self, url: str, forward: dict[str, Any], rules: Sequence[Any]) -> None:
        listeners = [{"bind": f"{kind}://127.0.0.1:{self.port}", **self._listener} for kind in ("udp", "tcp")]
        agent = {
            "version": 1,
            "agent": AGENT,
            "site": SITE,
            "state_dir": str(self.state_dir),
            "socket": str(self.socket),
            "forward": {"brokers": [{"url": url, "user": AGENT}], **forward},
            "rules": list(rules),
            "collectors": [{"collector": "syslog", "name": "syslog", "listeners": listeners}],
        }
        center = {
            "version": 1,
            "brokers": [{"url": self.broker.url, "user": "center"}],
            "sinks": [{"sink": "ndjson", "dir": str(self.sink_dir)}],
        }
        (self.folder / "agent.yaml").write_text(json.dumps(agent))  # JSON is YAML
        (self.folder / "center.yaml").write_text(json.dumps(center))

    # --- starting and ending ---------------------------------------------------------------------------------------

    async def start_agent(self) -> None:
        """Start the agent and return when it listens."""
        self.agent.start()
        await until(self.is_listening, seconds=START_SECONDS, what="the agent listens", log=self.log)

    async def start_receiver(self) -> None:
        """Start the receiver and return when it has opened its folder; it may still have no broker."""
        self.receiver.start()
        await until(
            lambda: (self.sink_dir / "center.sock").is_socket() and self.ledger_or_none(),
            seconds=START_SECONDS,
            what="the receiver answers",
            log=self.log,
        )

    def is_listening(self) -> bool:
        """Tell whether the agent's TCP listener is open."""
        status = self.status_or_none()
        if status is None:
            assert self.agent.is_running, self.log()
            return False
        listeners = status["collectors"][0].get("report", {}).get("listeners", [])
        return bool(listeners) and all(one.get("state") == "listening" for one in listeners)

    async def end(self) -> None:
        """End whatever of ours still runs."""
        for child in (self.agent, self.receiver):
            await child.kill()

    def log(self) -> str:
        """What the processes said last."""
        return f"{self.agent.tail()}\n{self.receiver.tail()}"

    # --- both ledgers ----------------------------------------------------------------------------------------------

    def status_or_none(self) -> dict[str, Any] | None:
        """What `edgepost status --json` shows; None while nobody answers."""
        try:
            return ask_once(str(self.socket), {"verb": "status"})
        except NoAgent:
            return None

    def account(self, stream: str = "syslog") -> dict[str, int]:
        """Rows of one stream in the agent's account: received, confirmed, dropped:..."""
        status = self.status_or_none()
        entries = [] if status is None else status["buffer"]["account"]
        return {one["what"]: one["rows"] for one in entries if one["stream"] == stream}

    def committed_on_disk(self, stream: str = "syslog") -> int:
        """Rows that a killed agent had committed: read from a copy of its store, so that the store is left alone."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy_store(self.state_dir, copy)
        store = sqlite3.connect(copy / "buffer.db")
        try:
            query = "SELECT coalesce(sum(rows), 0) FROM account WHERE stream = ? AND what = 'received'"
            return int(store.execute(query, (stream,)).fetchone()[0])
        finally:
            store.close()

    def ledger(self) -> dict[str, Any]:
        """What `edgepost-center ledger DIR --json` shows."""
        command = [sys.executable, "-m", "center.cli", "ledger", str(self.sink_dir), "--json"]
        done = subprocess.run(command, env=environment(), cwd=self.folder, capture_output=True, text=True, timeout=30)
        assert done.returncode in {0, 1}, done.stderr
        return dict(json.loads(done.stdout))

    def ledger_or_none(self) -> dict[str, Any] | None:
        """The same, quickly and in place of an error None."""
        try:
            return self.ledger()
        except (AssertionError, ValueError, subprocess.TimeoutExpired):
            return None

    def committed_rows(self, stream: str = "syslog") -> int:
        """Rows of one stream that the center has committed."""
        return sum(one["committed"] for one in self.ledger()["rows"] if one["stream"] == stream)

    def rows(self, stream: str = "syslog") -> list[dict[str, Any]]:
        """All rows in the sink's files, finished or open, each file in its order."""
        files = sorted((self.sink_dir / stream).glob("*.ndjson*"))
        return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]

    async def drained(self, *, seconds: float = 90.0) -> dict[str, int]:
        """Wait until all that was received is confirmed, or dropped with a reason; give the account of syslog."""

        def is_empty() -> bool:
            status = self.status_or_none()
            return status is not None and not any(lane["batches"] for lane in status["buffer"]["lanes"])

        await until(is_empty, seconds=seconds, what="everything held is confirmed", log=self.log)
        return self.account()


def copy_store(state_dir: Path, target: Path) -> None:
    """Copy a store as a backup would: file and WAL, without the lock."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("buffer.db", "buffer.db-wal"):
        if (state_dir / name).exists():
            shutil.copy2(state_dir / name, target / name)


@asynccontextmanager
async def site(folder: Path, broker: Running, *, is_started: bool = True, **options: Any) -> AsyncIterator[Site]:
    """Give a site that runs (the receiver first, so that nothing is sent to nobody), and leave nothing of it behind."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Site(folder, broker, **options)
    try:
        if is_started:
            await one.start_receiver()
            await one.start_agent()
        yield one
    finally:
        await one.end()
