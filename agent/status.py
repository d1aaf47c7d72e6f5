"""Everything a sysadmin may ask a running agent, gathered from the parts that know it.

    intake  buffer  forward  supervisor  pulse ──Parts.facts──► one dict ──socket──► edgepost status, demo, ...

The dict is described key by key in `docs/status.md`, section "JSON". Gathering it reads counters and one file of
/proc; it waits half a second at most, for the disk, so it is right even when everything else is stuck.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Never

import msgspec

from agent import VERSION
from agent.answer import CLIENT, answer
from agent.buffer import Buffer
from agent.forward import Forward
from agent.health import find_problems, verdict
from agent.intake import Intake
from agent.losses import Losses, RecentLosses, count_losses
from agent.ping import ping_verb
from agent.report import Pulse
from agent.settings import Settings
from agent.supervise import Supervisor
from agent.tail import tail_verb
from collectors.handed_over import HANDED_OVER

SHAPE: Final = 1  # of the facts: keys are only ever added to it
MEASURE_SECONDS: Final = 0.5
SOCKET: Final = "status socket"  # no name of a collector: those have no spaces
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Parts:
    """The running agent, as its status sees it."""

    def __init__(
        self,
        settings: Settings,
        *,
        intake: Intake,
        buffer: Buffer,
        forward: Forward,
        supervisor: Supervisor,
        pulse: Pulse,
    ) -> None:
        self.intake = intake
        self.buffer = buffer
        self.forward = forward
        self.recent = RecentLosses(self._losses)
        self._settings = settings
        self.supervisor = supervisor
        self._pulse = pulse
        self._started_ns = time.time_ns()
        self._kinds = {config.name: str(config.__struct_config__.tag) for config in settings.collectors}

    def _losses(self) -> Losses:
        return count_losses(self.intake.counted(), self.buffer.facts()["account"])

    def facts(self, *, silent_seconds: float = 0.0) -> dict[str, Any]:
        """Gather what is known now, find the problems, judge; never waits.

        Args:
            silent_seconds: for how long the disk has not answered.
        """
        taken, lives = self.intake.facts(), self.supervisor.facts()
        has_opened = all(taken.get(name, {}).get("report") for name in self._kinds)
        facts: dict[str, Any] = {
            "version": SHAPE,
            "edgepost": VERSION,
            "agent": self._settings.agent,
            "site": self._settings.site,
            "pid": os.getpid(),
            "started_ns": self._started_ns,
            "now_ns": time.time_ns(),
            "collectors": [
                {"name": name, "collector": kind, "state": "starting", **lives.get(name, {}), **taken.get(name, {})}
                for name, kind in self._kinds.items()
            ],
            "own": taken.get("agent", {}),
            "unused_sockets": HANDED_OVER.unused() if has_opened else [],
            "rules": self.intake.rules.facts(),
            "changed": {stream: dict(counts) for stream, counts in self.intake.changed.items()},
            "buffer": {**self.buffer.facts(), "silent_seconds": silent_seconds},
            "forward": self.forward.facts(),
            "socket": {**lives.get(SOCKET, {}), "clients": lives.get(CLIENT, {})},
            "process": self._pulse.facts(),
        }
        problems = find_problems(facts, self.recent.now())
        return {**facts, "health": verdict(problems), "problems": problems}

    async def measure(self) -> dict[str, Any]:
        """Let the buffer measure its sizes and ages, then give the facts."""
        try:
            async with asyncio.timeout(MEASURE_SECONDS):
                await self.buffer.refresh()
        except TimeoutError:
            return self.facts(silent_seconds=(time.monotonic_ns() - self.buffer.pulse_ns) / 1e9)
        return self.facts()

    def health(self) -> str:
        """The verdict alone, for the retained state message."""
        return str(self.facts()["health"])


async def keep_status(path: Path, parts: Parts) -> None:
    """Serve the status, and begin again should that fail: a bug in what people ask with must not end what collects."""
    await parts.supervisor.keep(SOCKET, partial(serve_status, path, parts))


async def serve_status(path: Path, parts: Parts) -> Never:
    """Answer at `path`, and remember losses, until cancelled."""

    async def status(_: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        yield _encode(await parts.measure())

    verbs = {
        "status": status,
        "tail": tail_verb(parts.intake),
        "ping": ping_verb(parts.intake, parts.forward, is_durable=lambda: parts.buffer.facts()["state"] == "ok"),
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.recent.run(), name="recent losses")
        await answer(path, verbs, guard=parts.supervisor.once)
