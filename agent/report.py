"""What the agent tells of itself while it runs: losses that never became a row, clock steps, and the loop's lag."""

import asyncio
import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent import VERSION, events
from agent.intake import Intake
from agent.reasons import HARMLESS
from collectors.sink import Lane
from wire.text import rfc3339

DROPS_SECONDS: Final = 60.0
LAG_SECONDS: Final = 1.0
STEP_SECONDS: Final = 2.0


class Pulse:
    """Measures how late the loop is, once a second, and notices when the clock is set."""

    def __init__(self, put: Callable[[tuple[Any, ...]], None]) -> None:
        self._put = put
        self._lags_ms: deque[float] = deque(maxlen=60)
        self._cpu = (time.monotonic(), time.process_time())
        self._cpu_percent = 0.0

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        offset = time.time() - time.monotonic()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lags_ms.append(max(0.0, loop.time() - due) * 1000)
            now_offset = time.time() - time.monotonic()
            if abs(now_offset - offset) > STEP_SECONDS:
                step = now_offset - offset
                text = f"the clock was set by {step:+.1f} s"
                self._put(events.row("clock-step", severity=events.WARNING, text=text, detail={"seconds": step}))
            offset = now_offset
            self._measure_cpu()

    def _measure_cpu(self) -> None:
        at, used = self._cpu
        now = time.monotonic()
        if now - at >= 10:
            self._cpu_percent = 100 * (time.process_time() - used) / (now - at)
            self._cpu = (now, time.process_time())

    def facts(self) -> dict[str, Any]:
        """Loop lag in ms over the last minute, memory and CPU of this process."""
        return {
            "loop_lag_ms": {
                "median": statistics.median(self._lags_ms) if self._lags_ms else None,
                "max": max(self._lags_ms, default=None),
            },
            "pss_bytes": pss_bytes(),
            "cpu_percent": self._cpu_percent,
            "cpu_seconds": time.process_time(),
        }


def pss_bytes() -> int | None:
    """Proportional set size of this process (proc(5), smaps_rollup)."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


Tell = Callable[[tuple[Any, ...]], None]
"""Puts one row of the stream `agent`, urgent."""


def teller(intake: Intake) -> Tell:
    """Give the function through which the agent speaks of itself."""
    sink = intake.sink("agent")
    return lambda row: sink.put(events.AGENT, [row], lane=Lane.URGENT)


def tell_start(tell: Tell, *, unclean_since_ns: int | None) -> None:
    """Say that the agent has started and, after a kill or a power cut, since when intake is unknown."""
    tell(events.row("started", text=f"edgepost {VERSION} started", detail={"version": VERSION, "pid": os.getpid()}))
    if unclean_since_ns is not None:
        detail = {"first_ns": unclean_since_ns, "last_ns": time.time_ns()}
        text = f"intake is unknown since {rfc3339(unclean_since_ns)}: the agent was not stopped cleanly"
        tell(events.row("unclean-stop", severity=events.ERROR, text=text, detail=detail))


async def declare_drops(intake: Intake) -> None:
    """Each minute, put one row for every counter that has grown: of losses, and of rows that were changed to fit."""
    sink = intake.sink("agent")
    told: Counter[tuple[str, str, str]] = Counter()
    while True:
        since_ns = time.time_ns()
        await asyncio.sleep(DROPS_SECONDS)
        grown = counted(intake) - told
        told += grown
        rows = [_dropped(*which, rows=new, since_ns=since_ns) for which, new in grown.items()]
        sink.put(events.AGENT, rows, lane=Lane.URGENT)


def counted(intake: Intake) -> Counter[tuple[str, str, str]]:
    """All counts since the start: (`collector` or `stream`, its name, reason) → how many."""
    drops = {("collector", name): facts["drops"] for name, facts in intake.facts().items()}
    changed = {("stream", name): counts for name, counts in intake.changed.items()}
    found = {
        (*whose, reason): rows for whose, counts in {**drops, **changed}.items() for reason, rows in counts.items()
    }
    return Counter(found)


def _dropped(kind: str, name: str, reason: str, *, rows: int, since_ns: int) -> tuple[Any, ...]:
    """`dropped` for what is lost; `counted` for what is worth knowing and cost no row, such as a long line cut."""
    detail = {kind: name, "reason": reason, "rows": rows, "first_ns": since_ns, "last_ns": time.time_ns()}
    if reason in HARMLESS:
        return events.row("counted", text=f"{name}, {rows} times: {reason}", detail=detail)
    return events.row("dropped", severity=events.ERROR, text=f"{name} lost {rows}: {reason}", detail=detail)
