"""What the agent tells of itself while it runs: losses that never became a row, clock steps, and the loop's lag."""

import asyncio
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Never

from agent import VERSION, events
from agent.intake import Intake
from agent.losses import Loss
from agent.reasons import CHANGED, CRASH
from agent.rules import Filtered
from collectors.sink import Lane
from wire.text import human_count, rfc3339

DROPS_SECONDS: Final = 60.0
LAG_SECONDS: Final = 1.0
STEP_SECONDS: Final = 2.0
ERROR_LENGTH: Final = 500  # of an error's text in a row: it may carry what a device sent


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


class Drops:
    """Declares what collectors have counted and rules have left out: one row of the stream `agent` a counter that grew."""

    def __init__(self, intake: Intake, filtered: Filtered) -> None:
        self._intake = intake
        self._filtered = filtered
        self._told: dict[tuple[str, str], int] = {}
        self._since_ns = time.time_ns()

    async def run(self) -> Never:
        """Declare each minute."""
        while True:
            await asyncio.sleep(DROPS_SECONDS)
            self.declare()

    def declare(self) -> None:
        """Put what has grown since the last time."""
        self._filtered.declare()
        between = self._since_ns, time.time_ns()
        self._since_ns = between[1]
        for where, reason, amount in list(self._intake.counted()):
            new = amount - self._told.get((where, reason.name), 0)
            if new:
                self._told[where, reason.name] = amount
                row = _declared(Loss(where, reason, new), between=between)
                self._intake.sink("agent").put(events.AGENT, [row], lane=Lane.URGENT)


class Silence:
    """Tells of the failures of one collector (`supervise.Outage`): since when nobody knows what it took.

    What was in its hands when it failed the collector counts itself; what nobody counted lies between these times.
    """

    def __init__(self, intake: Intake, collector: str) -> None:
        self._intake = intake
        self._collector = collector
        self._error = ""
        self._since_ns = 0

    def begin(self, error: str, *, started_ns: int) -> None:
        """Count the failure, and tell it at once: unknown since the last row."""
        self._error = error[:ERROR_LENGTH]
        self._intake.sink(self._collector).count(CRASH.name)
        self._since_ns = max(started_ns, self._intake.last_seen_ns(self._collector) or 0)
        self._tell("failed")

    def end(self) -> None:
        """Tell that nobody listened since the failure."""
        self._tell("did not run")

    def _tell(self, what: str) -> None:
        first_ns, self._since_ns = self._since_ns, time.time_ns()
        name, error = self._collector, self._error
        detail = {"collector": name, "error": error, "first_ns": first_ns, "last_ns": self._since_ns}
        row = events.row("collector", severity=events.ERROR, text=f"collector {name} {what}: {error}", detail=detail)
        self._intake.sink("agent").put(events.AGENT, [row], lane=Lane.URGENT)


def _declared(loss: Loss, *, between: tuple[int, int]) -> tuple[Any, ...]:
    """`dropped` for what is lost; `counted` for what is worth knowing and cost no data, such as an empty line."""
    where, reason, amount = loss
    detail: dict[str, Any] = {
        "stream" if reason in CHANGED else "collector": where,
        "reason": reason.name,
        "count": amount,
        "unit": reason.unit,
        "first_ns": between[0],
        "last_ns": between[1],
    }
    much = human_count(amount, reason.unit)
    if not reason.is_loss:
        return events.row("counted", text=f"{where} counted {much}: {reason.name}", detail=detail)
    if reason.is_in_rows:
        detail["rows"] = amount
    return events.row("dropped", severity=events.ERROR, text=f"{where} lost {much}: {reason.name}", detail=detail)
