"""Everything a sysadmin may ask a running agent, gathered from the parts that know it.

    intake  buffer  forward  supervise  gauges ──collect_facts──► one dict ──socket──► edgepost status, demo, ...

The dict is described key by key in `docs/status.md`, section "JSON". Collecting it reads counters and one file of
/proc; it waits half a second at most, for the disk, so it is right even when everything else is stuck.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Never, Protocol

import msgspec

from agent.answer import answer
from agent.gauges import Gauges
from agent.health import find_problems, verdict
from agent.ping import Pingable, ping_verb
from agent.tail import Tappable, tail_verb
from agent.version import version

REFRESH_SECONDS: Final = 0.5
VERSION: Final = 1  # of the facts' shape: keys are only ever added
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Reporting(Protocol):
    """A part that tells facts about itself."""

    def facts(self) -> dict[str, Any]:
        """Plain values, without waiting."""


class Buffering(Reporting, Protocol):
    """The buffer, as far as status needs it."""

    @property
    def pulse_ns(self) -> int:
        """When the disk last answered, monotonic."""

    async def refresh(self) -> None:
        """Measure sizes and ages on the writer's thread."""


class Taking(Tappable, Pingable, Reporting, Protocol):
    """The intake, as far as status, tail and ping need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The running agent, as its status sees it.

    Attributes:
        agent: name of this agent.
        site: where it stands.
        kinds: collector name → kind of collector, as in the YAML.
        intake: `facts`, `subscribe`, `sink`, `next_commit`.
        buffer: `facts`, `refresh`, `pulse_ns`.
        forward: `facts` and `watch`.
        collectors: name → state, restarts, error, remedy, as supervised.
        started_ns: when the process began.
    """

    agent: str
    site: str
    kinds: Mapping[str, str]
    intake: Taking
    buffer: Buffering
    forward: Any
    collectors: Callable[[], Mapping[str, Mapping[str, Any]]]
    started_ns: int = field(default_factory=time.time_ns)


def losses(parts: Parts) -> dict[str, dict[str, int]]:
    """Rows lost since the start, where → reason → rows: what gauges compare with ten minutes ago."""
    lost = {name: dict(one.get("drops", {})) for name, one in parts.intake.facts().items()}
    for entry in parts.buffer.facts().get("account", ()):
        what = str(entry["what"])
        if what.startswith(("dropped:", "rejected")) and not what.endswith(
            "intake-full"
        ):  # that stands with its collector
            reasons = lost.setdefault("buffer", {})
            reasons[what.removeprefix("dropped:")] = reasons.get(what.removeprefix("dropped:"), 0) + int(entry["rows"])
    return lost


async def collect_facts(parts: Parts, gauges: Gauges) -> dict[str, Any]:
    """Gather what is known now, find the problems, judge; a disk that does not answer costs half a second."""
    silent_seconds = await _silent_seconds(parts.buffer)
    taken, supervised = parts.intake.facts(), parts.collectors()
    facts: dict[str, Any] = {
        "version": VERSION,
        "edgepost": version(),
        "agent": parts.agent,
        "site": parts.site,
        "pid": os.getpid(),
        "started_ns": parts.started_ns,
        "now_ns": time.time_ns(),
        "collectors": [
            {"name": name, "collector": kind, "state": "starting", **supervised.get(name, {}), **taken.get(name, {})}
            for name, kind in parts.kinds.items()
        ],
        "own": taken.get("agent", {}),
        "buffer": parts.buffer.facts() | {"silent_seconds": silent_seconds},
        "forward": parts.forward.facts(),
        "process": gauges.facts(),
    }
    problems = find_problems(facts, gauges.recent_losses())
    return facts | {"health": verdict(problems), "problems": problems}


async def _silent_seconds(buffer: Buffering) -> float:
    """Let the buffer measure; give for how long its disk has been silent if it does not answer soon."""
    try:
        async with asyncio.timeout(REFRESH_SECONDS):
            await buffer.refresh()
    except TimeoutError:
        return (time.monotonic_ns() - buffer.pulse_ns) / 1e9
    return 0.0


async def serve_status(path: Path, parts: Parts) -> Never:
    """Measure, and answer at `path`, until cancelled."""
    gauges = Gauges(lambda: losses(parts))

    async def status_verb(_: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        yield _encode(await collect_facts(parts, gauges))

    verbs = {
        "status": status_verb,
        "tail": tail_verb(parts.intake),
        "ping": ping_verb(parts.intake, parts.forward, is_durable=lambda: parts.buffer.facts()["state"] == "ok"),
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(gauges.measure(), name="gauges")
        await answer(path, verbs)
