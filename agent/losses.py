"""Which losses are recent: the counters of every loss, looked at each half minute, compared with ten minutes ago.

An alarm about a loss of last month would be read once and then never again; so health goes by recent losses, while
the totals stay in their own lines.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Never

from agent.rules import REASON

EVERY_SECONDS: Final = 30.0
WINDOW: Final = 20  # ten minutes of them

Losses = dict[str, dict[str, int]]
"""Rows: where (a collector, or `buffer`) → reason → how many."""


def count_losses(intake: Mapping[str, Mapping[str, Any]], account: Sequence[Mapping[str, Any]]) -> Losses:
    """Sum every loss since the counting began.

    Args:
        intake: facts of the intake, by collector; their `drops` never became a row.
        account: of the buffer; its `dropped:<reason>` were rows. `intake-full` stands in both and counts once; what
            a rule dropped is no loss.
    """
    losses: Losses = {name: dict(facts.get("drops") or {}) for name, facts in intake.items()}
    for entry in account:
        kind, _, reason = str(entry["what"]).partition(":")
        if kind == "dropped" and reason != "intake-full" and not reason.startswith(REASON):
            reasons = losses.setdefault("buffer", {})
            reasons[reason] = reasons.get(reason, 0) + int(entry["rows"])
    return losses


class RecentLosses:
    """Remembers the counters of the last ten minutes."""

    def __init__(self, count: Callable[[], Losses]) -> None:
        self._count = count
        self._history: deque[Losses] = deque([count()], maxlen=WINDOW)

    async def run(self) -> Never:
        """Remember until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self._history.append(self._count())

    def now(self) -> Losses:
        """Rows lost in the last ten minutes, only what is not nought."""
        then = self._history[0]
        return {
            where: grown
            for where, reasons in self._count().items()
            if (
                grown := {
                    reason: more for reason, rows in reasons.items() if (more := rows - _of(then, where, reason)) > 0
                }
            )
        }


def _of(losses: Losses, where: str, reason: str) -> int:
    return losses.get(where, {}).get(reason, 0)
