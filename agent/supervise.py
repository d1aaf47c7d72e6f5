"""Supervise: a failing collector restarts alone, with back-off and jitter; the others never notice.

The one broad `except` of the product is here: a collector talks to the world, and what it did not foresee must cost
its own rows only, be said once, and be shown in status.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

BACKOFF_SECONDS: Final = (1.0, 60.0)
CALM_SECONDS: Final = 120.0  # a run as long as this starts the back-off anew
log = logging.getLogger("edgepost.supervise")


class Supervisor:
    """Runs collectors and keeps what status shows of their lives."""

    def __init__(self) -> None:
        self._lives: dict[str, dict[str, Any]] = {}

    def facts(self) -> dict[str, dict[str, Any]]:
        """State, restarts and last error by collector name."""
        return {name: dict(life) for name, life in self._lives.items()}

    async def keep(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        """Run one collector for ever; `start` loads and calls its coroutine."""
        life = self._lives[name] = {"state": "running", "restarts": 0, "error": None}
        failures = 0
        while True:
            started = time.monotonic()
            life["state"] = "running"
            try:
                await start()
                error = "it ended by itself"
            except Exception as caught:  # the one broad except: see the module's docstring
                error = f"{type(caught).__name__}: {caught}"
                log.exception("collector %s failed, it will be restarted", name)
            failures = 1 if time.monotonic() - started > CALM_SECONDS else failures + 1
            life.update(state="restarting", restarts=life["restarts"] + 1, error=error)
            await asyncio.sleep(_backoff(failures))


def _backoff(failures: int) -> float:
    least, most = BACKOFF_SECONDS
    return random.uniform(0.5, 1.0) * min(most, least * 2.0 ** min(failures - 1, 10))  # noqa: S311 - jitter, no secret
