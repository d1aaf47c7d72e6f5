"""Tells the center what rules have dropped: one row of the stream `agent` per rule, stream and minute in which it grew.

So a SOC that misses rows can see that they were left out on purpose, by which rule (`docs/wire-format.md`, `filtered`).
"""

import time
from collections.abc import Callable
from typing import Any

from agent import events
from agent.rules.apply import Rules


class Filtered:
    """Remembers what it has told."""

    def __init__(self, rules: Rules, tell: Callable[[tuple[Any, ...]], None]) -> None:
        self._rules = rules
        self._tell = tell
        self._told: dict[tuple[str, str], int] = {}
        self._since_ns = time.time_ns()

    def declare(self) -> None:
        """Put what has grown since the last time."""
        since_ns, self._since_ns = self._since_ns, time.time_ns()
        for one in self._rules.facts():
            rule, stream = one["name"], one["stream"]
            rows = one["dropped"] - self._told.get((rule, stream), 0)
            if rows:
                self._told[rule, stream] = one["dropped"]
                span = {"first_ns": since_ns, "last_ns": self._since_ns}
                detail = {"rule": rule, "do": one["do"], "stream": stream, "rows": rows, **span}
                self._tell(events.row("filtered", text=f"rule {rule} left out {rows} rows of {stream}", detail=detail))
