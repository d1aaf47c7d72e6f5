"""edgepost on the bench: broker, receiver and agent as processes of their own, everything in one folder.

    generator ──► agent ──MQTT──► mosquitto ──MQTT──► receiver (sink `batches`) ──receipts──► mosquitto ──► agent

What is measured is the agent, whole: from its socket to the receipt. Broker and receiver are printed beside it.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from places import free_port, wait_for

from agent.ask import NoAgent, ask_once

AGENT, SITE = "bench-1", "bench"


def environment() -> dict[str, str]:
    """The children run what is imported here, be it the tree or an installed wheel."""
    found = importlib.util.find_spec("agent")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("agent: install the wheel, or set PYTHONPATH to the tree")
    return {**os.environ, "PYTHONPATH": str(Path(found.origin).parents[1])}


class Process:
    """A child that writes to a log; ended by its pid."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, env=environment(), cwd=log.parent, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        self.pid = self._process.pid

    def end(self, *, how: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> None:
        """Send a signal, and SIGKILL if it is not enough."""
        self._process.send_signal(how)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


def start_broker(folder: Path, port: int) -> Process:
    """mosquitto as it comes from Debian, without persistence and without a log."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise FileNotFoundError("mosquitto: apt install mosquitto")
    lines = ["log_type error", "allow_anonymous true", f"listener {port} 127.0.0.1", "set_tcp_nodelay true"]
    lines += [] if os.getuid() else ["user root"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
    return Process([program, "-c", str(folder / "mosquitto.conf")], folder / "mosquitto.log")


class Edgepost:
    """One agent with its broker and receiver."""

    name = "edgepost"

    def __init__(
        self, folder: Path, *, receive_buffer: int = 8 << 20, limit_bytes: int = 2 << 30, is_started: bool = True
    ) -> None:
        self.folder = folder / "edgepost"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.broker_port = free_port(), free_port()
        self.socket = self.folder / "status.sock"
        self.state_dir, self.sink_dir = self.folder / "state", self.folder / "sink"
        self._write_config(receive_buffer, limit_bytes)
        self.broker: Process | None = None
        self.receiver: Process | None = None
        self.agent: Process | None = None
        if is_started:
            self.start_center()
            self.start_agent()

    def _write_config(self, receive_buffer: int, limit_bytes: int) -> None:
        listeners: list[dict[str, Any]] = [
            {"bind": f"udp://127.0.0.1:{self.port}", "receive_buffer_bytes": receive_buffer},
            {"bind": f"tcp://127.0.0.1:{self.port}"},
        ]
        agent = {
            "version": 1,
            "agent": AGENT,
            "site": SITE,
            "state_dir": str(self.state_dir),
            "socket": str(self.socket),
            "buffer": {"limit_bytes": limit_bytes},
            "forward": {"brokers": [{"url": f"mqtt://127.0.0.1:{self.broker_port}"}], "stop_grace_seconds": 1},
            "collectors": [{"collector": "syslog", "name": "syslog", "listeners": listeners}],
        }
        (self.folder / "agent.yaml").write_text(json.dumps(agent), encoding="utf-8")

    def start_center(self) -> None:
        """Start the broker and the receiver."""
        self.broker = start_broker(self.folder, self.broker_port)
        url = f"mqtt://127.0.0.1:{self.broker_port}"
        command = [sys.executable, "-m", "center.cli", "receive", "--broker", url]
        command += ["--sink", "batches", "--dir", str(self.sink_dir)]
        self.receiver = Process(command, self.folder / "center.log")
        said = "receiving from"
        wait_for(
            lambda: said in (self.folder / "center.log").read_text(encoding="utf-8"), seconds=20, what="center receives"
        )

    def start_agent(self) -> float:
        """Start the agent; give the seconds until it listened."""
        started = time.perf_counter()
        command = [sys.executable, "-m", "agent.cli", "run", str(self.folder / "agent.yaml")]
        self.agent = Process(command, self.folder / "agent.log")
        wait_for(self._listens, seconds=60, what="the agent listens", every=0.005)
        return time.perf_counter() - started

    def _listens(self) -> bool:
        if self.agent is None or not self.agent.is_running:
            raise RuntimeError((self.folder / "agent.log").read_text(encoding="utf-8")[-3000:])
        needle = f":{self.port:04X} "
        return all(needle in Path(f"/proc/net/{kind}").read_text(encoding="ascii") for kind in ("tcp", "udp"))

    @property
    def pid(self) -> int:
        """Of the agent."""
        if self.agent is None:
            raise RuntimeError("no agent runs")
        return self.agent.pid

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""
        parts = {"broker": self.broker, "receiver": self.receiver}
        return {name: part.pid for name, part in parts.items() if part is not None}

    # --- what it says of itself ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """`edgepost status --json`; empty while nobody answers."""
        try:
            return dict(ask_once(str(self.socket), {"verb": "status"}))
        except NoAgent:
            return {}

    def delivered(self) -> int:
        """Rows receipted by the center; the account has them up to a second later, when the discard is committed."""
        return int(self.status().get("forward", {}).get("receipted_rows", {}).get("syslog", 0))

    def counted_lost(self) -> int:
        """Every row that the agent says it lost before it was one, the kernel's drops included."""
        (one,) = [one for one in self.status()["collectors"] if one["name"] == "syslog"]
        return sum(one["drops"][name] for name, meaning in one["reasons"].items() if meaning["is_in_rows"])

    def wire(self) -> tuple[int, int]:
        """Bytes and rows sent over the network so far (payloads)."""
        forward = self.status()["forward"]
        return int(forward["sent_bytes"]), int(forward["sent_rows"])

    def stop(self) -> None:
        """End everything, the near end first."""
        for part in (self.agent, self.receiver, self.broker):
            if part is not None:
                part.end()
