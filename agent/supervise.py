"""Supervise: what talks to the world may fail alone, is said once, and is shown in status.

    keep   a collector, the status socket: restarted, with back-off and jitter; the others never notice
    once   one client of the status socket: it alone is let go

The one broad `except` of the product is here: a collector talks to the world, and what it did not foresee must cost
its own rows only; a question must cost its asker only. A bug is never hidden by that: it is logged with its trace,
counted, and a problem in `edgepost status`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

BACKOFF_SECONDS: Final = (1.0, 60.0)
CALM_SECONDS: Final = 120.0  # a run as long as this starts the back-off anew
Start = Callable[[], Awaitable[None]]
log = logging.getLogger("edgepost.supervise")


class Outage(Protocol):
    """Who is told when something that is kept does not run."""

    def begin(self, error: str, *, started_ns: int) -> None:
        """It failed just now, having run since then."""

    def end(self) -> None:
        """It runs again, or never will."""


class Supervisor:
    """Runs what may fail and keeps what status shows of it."""

    def __init__(self) -> None:
        self._lives: dict[str, dict[str, Any]] = {}

    def facts(self) -> dict[str, dict[str, Any]]:
        """By name: state and restarts of what is kept, failures of what ran once; the last error of both, and when."""
        return {name: dict(life) for name, life in self._lives.items()}

    async def keep(self, name: str, start: Start, *, outage: Outage | None = None) -> None:
        """Run something for ever; `start` loads and calls its coroutine."""
        life = self._lives[name] = {"state": "running", "restarts": 0, "error": None, "failed_ns": None}
        failures = 0
        while True:
            started, started_ns = time.monotonic(), time.time_ns()
            life["state"] = "running"
            caught = await _attempt(start)
            if caught is not None:
                log.error("%s failed, it will be restarted", name, exc_info=caught)
            failures = 1 if time.monotonic() - started > CALM_SECONDS else failures + 1
            life.update(
                state="restarting", restarts=life["restarts"] + 1, error=_text(caught), failed_ns=time.time_ns()
            )
            if outage is not None:
                outage.begin(_text(caught), started_ns=started_ns)
            try:
                await asyncio.sleep(_backoff(failures))
            finally:
                if outage is not None:
                    outage.end()

    async def once(self, name: str, start: Start) -> None:
        """Run something once; the same failure again is counted, not logged."""
        life = self._lives.setdefault(name, {"failures": 0, "error": None, "failed_ns": None})
        caught = await _attempt(start)
        if caught is None:
            return
        if life["error"] != _text(caught):
            log.error("%s failed, nothing else did", name, exc_info=caught)
        life.update(failures=life["failures"] + 1, error=_text(caught), failed_ns=time.time_ns())


async def _attempt(start: Start) -> Exception | None:
    try:
        await start()
    except Exception as caught:  # noqa: BLE001 - the one broad except: see the module's docstring
        return caught
    return None


def _text(caught: Exception | None) -> str:
    return "it ended by itself" if caught is None else f"{type(caught).__name__}: {caught}"


def _backoff(failures: int) -> float:
    least, most = BACKOFF_SECONDS
    return random.uniform(0.5, 1.0) * min(most, least * 2.0 ** min(failures - 1, 10))  # noqa: S311 - jitter, no secret
