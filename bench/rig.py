"""edgepost on the bench: broker, receiver and agent as processes of their own, everything in one folder.

    generator ──► agent ──MQTT──► mosquitto ──MQTT──► receiver (sink `batches`) ──receipts──► mosquitto ──► agent

What is measured is the agent, whole: from its socket to the receipt. Broker and receiver are printed beside it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from contest import Setup
from places import free_port, listens, wait_for
from processes import Process, start_broker

from agent.ask import NoAgent, ask_once

AGENT, SITE = "bench-1", "bench"


PROMISE = (
    "in the store, synced at each commit; gone when the center has synced it and its receipt has come; "
    "a row is delivered with its receipt"
)


class Center:
    """Broker and receiver. What it can tell of deliveries the agent tells, by the receipts it got."""

    def __init__(self, folder: Path, *, agent: "Edgepost") -> None:
        self.folder = folder
        self.port = free_port()
        self._agent = agent
        self._processes: dict[str, Process] = {}

    def start(self) -> None:
        """Start the broker, then the receiver."""
        self._processes["broker"] = start_broker(self.folder, self.port)
        log = self.folder / "center.log"
        command = [sys.executable, "-m", "center.cli", "receive", "--broker", f"mqtt://127.0.0.1:{self.port}"]
        command += ["--sink", "batches", "--dir", str(self.folder / "sink")]
        self._processes["receiver"] = Process(command, log)
        wait_for(lambda: "receiving from" in log.read_text(encoding="utf-8"), seconds=20, what="center receives")

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""
        return {name: process.pid for name, process in self._processes.items()}

    def ask(self) -> dict[str, Any]:
        """Nothing: lateness is told by a listener of its own (watch_part.py)."""
        return {"late_ms": None}

    def delivered(self) -> int:
        """Rows receipted by the center; the account has them up to a second later, when the discard is committed."""
        return int(self._agent.status().get("forward", {}).get("receipted_rows", {}).get("syslog", 0))

    def wire(self) -> tuple[int, int]:
        """Payload bytes and rows sent over the network so far."""
        forward = self._agent.status()["forward"]
        return int(forward["sent_bytes"]), int(forward["sent_rows"])

    def stop(self) -> None:
        """End the receiver, then the broker."""
        for process in reversed(self._processes.values()):
            process.end()


class Edgepost:
    """One agent with its broker and receiver."""

    name = "edgepost"

    def __init__(self, setup: Setup, *, limit_bytes: int = 4 << 30, is_started: bool = True) -> None:
        self.folder = setup.folder / "edgepost"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.socket, self.store = self.folder / "status.sock", self.folder / "state"
        self.far_end = Center(setup.beside, agent=self)
        self._cores = setup.cores
        self._write_config(setup.receive_buffer, limit_bytes)
        self.agent: Process | None = None
        if setup.has_far_end:
            self.far_end.start()
        if is_started:
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
            "state_dir": str(self.store),
            "socket": str(self.socket),
            "buffer": {"limit_bytes": limit_bytes, "keep_free_percent": 1},  # others fill this disk too
            "forward": {"brokers": [{"url": f"mqtt://127.0.0.1:{self.far_end.port}"}], "stop_grace_seconds": 1},
            "collectors": [{"collector": "syslog", "name": "syslog", "listeners": listeners}],
        }
        (self.folder / "agent.yaml").write_text(json.dumps(agent), encoding="utf-8")

    def start_agent(self) -> float:
        """Start the agent; give the seconds until it listened."""
        started = time.perf_counter()
        command = [sys.executable, "-m", "agent.cli", "run", str(self.folder / "agent.yaml")]
        self.agent = Process(command, self.folder / "agent.log", on=self._cores)
        wait_for(self._listens, seconds=60, what="the agent listens", every=0.005)
        return time.perf_counter() - started

    def _listens(self) -> bool:
        assert self.agent is not None
        self.agent.must_run()
        return listens(self.port)

    @property
    def pid(self) -> int:
        """Of the agent."""
        if self.agent is None:
            raise RuntimeError("no agent runs")
        return self.agent.pid

    def status(self) -> dict[str, Any]:
        """`edgepost status --json`; empty while nobody answers."""
        try:
            return dict(ask_once(str(self.socket), {"verb": "status"}))
        except NoAgent:
            return {}

    def counted_lost(self) -> int:
        """Every row that the agent says it lost: before it was one, the kernel's drops included, or evicted."""
        status = self.status()
        (one,) = [one for one in status["collectors"] if one["name"] == "syslog"]
        lost = sum(one["drops"][name] for name, meaning in one["reasons"].items() if meaning["is_in_rows"])
        return int(lost + status["buffer"]["evicted_rows"])

    def stop(self) -> None:
        """End everything, the near end first."""
        if self.agent is not None:
            self.agent.end()
        self.far_end.stop()
