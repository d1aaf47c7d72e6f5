"""What the process measures about itself: how late its loop runs, its memory and CPU, and which losses are recent.

    every 0.25 s   how late we wake          ──► lag of the last minute
    every 30 s     the counters of losses    ──► what was lost in the last ten minutes

An alarm about a loss of last month would be read once and then never again; so health goes by recent losses, while
the totals stay in their own lines.
"""

import asyncio
import resource
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Never

LAG_EVERY_SECONDS: Final = 0.25
LAG_WINDOW: Final = 240  # a minute of them
LOSS_EVERY_SECONDS: Final = 30.0
LOSS_WINDOW: Final = 20  # ten minutes of them
_PSS: Final = Path(
    "/proc/self/smaps_rollup"
)  # Documentation/filesystems/proc.rst; costs about 1 ms, so only when asked

Losses = Mapping[str, Mapping[str, int]]
"""Rows lost since the start: where (a collector, the buffer) → reason → rows."""


class Gauges:
    """Owns the short memory of lag and losses. `measure` runs as long as the agent."""

    def __init__(self, losses: Callable[[], Losses]) -> None:
        self._losses = losses
        self._lags: deque[float] = deque(maxlen=LAG_WINDOW)
        self._history: deque[dict[str, dict[str, int]]] = deque([_copy(losses())], maxlen=LOSS_WINDOW)
        self._cpu = (time.monotonic(), _cpu_seconds())
        self._cpu_percent = 0.0

    async def measure(self) -> Never:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        next_losses = loop.time() + LOSS_EVERY_SECONDS
        while True:
            due = loop.time() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            now = loop.time()
            self._lags.append(max(0.0, now - due))
            if now >= next_losses:
                next_losses = now + LOSS_EVERY_SECONDS
                self._history.append(_copy(self._losses()))
                self._turn_cpu()

    def recent_losses(self) -> dict[str, dict[str, int]]:
        """Rows lost in the last ten minutes: where → reason → rows, only what is not nought."""
        then = self._history[0]
        grown = {
            where: {reason: rows - then.get(where, {}).get(reason, 0) for reason, rows in reasons.items()}
            for where, reasons in self._losses().items()
        }
        recent = {
            where: {reason: rows for reason, rows in reasons.items() if rows > 0} for where, reasons in grown.items()
        }
        return {where: reasons for where, reasons in recent.items() if reasons}

    def facts(self) -> dict[str, Any]:
        """Lag of the last minute in ms, PSS in bytes (None where the kernel tells none), CPU of the last half minute."""
        lags = [lag * 1000 for lag in self._lags] or [0.0]
        if time.monotonic() - self._cpu[0] > 1:
            self._turn_cpu()
        return {
            "loop_lag_ms": {"median": round(statistics.median(lags), 2), "max": round(max(lags), 2)},
            "pss_bytes": pss_bytes(),
            "cpu_percent": round(self._cpu_percent, 2),
            "threads": threading.active_count(),
        }

    def _turn_cpu(self) -> None:
        then, spent = self._cpu
        now, total = time.monotonic(), _cpu_seconds()
        self._cpu_percent = 100 * (total - spent) / max(now - then, 1e-3)
        self._cpu = (now, total)


def pss_bytes() -> int | None:
    """Our proportional share of memory: pages shared with other processes count by their part."""
    try:
        lines = _PSS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _copy(losses: Losses) -> dict[str, dict[str, int]]:
    return {where: dict(reasons) for where, reasons in losses.items()}
