"""Which losses are recent: the counters of every loss, looked at each half minute, compared with ten minutes ago.

An alarm about a loss of last month would be read once and then never again; so health goes by recent losses, while
the totals stay in their own lines.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Never

from agent.reasons import of_custody
from collectors.sink import Reason

EVERY_SECONDS: Final = 30.0
WINDOW: Final = 20  # ten minutes of them


class Loss(NamedTuple):
    """Something counted: where (a collector, or `buffer`), why, and how much in the reason's unit."""

    where: str
    reason: Reason
    amount: int


Losses = Mapping[tuple[str, str], Loss]
"""By where and the reason's name."""


def count_losses(counted: Iterable[Loss], account: Sequence[Mapping[str, Any]]) -> Losses:
    """Sum every loss since the counting began.

    Args:
        counted: by collectors; what is no loss is left out.
        account: of the buffer. Its `dropped:NAME` count where they were in custody; what a collector lost in rows
            stands there too, and is counted with the collector; what a rule dropped is no loss.
    """
    losses = {(one.where, one.reason.name): one for one in counted if one.reason.is_loss}
    for entry in account:
        kind, _, name = str(entry["what"]).partition(":")
        reason = of_custody(name) if kind == "dropped" else None
        if reason is not None:
            known = losses.get(("buffer", name))
            losses["buffer", name] = Loss("buffer", reason, int(entry["rows"]) + (known.amount if known else 0))
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

    def now(self) -> list[Loss]:
        """What was lost in the last ten minutes."""
        then = self._history[0]
        grown = [
            loss._replace(amount=loss.amount - (then[key].amount if key in then else 0))
            for key, loss in self._count().items()
        ]
        return [loss for loss in grown if loss.amount > 0]
