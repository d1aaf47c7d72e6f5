"""How often one peer may claim urgency, so that a single chatty device cannot crowd out everybody's urgent lane.

In comes how many urgent rows a peer just sent, out goes how many of them have to take the normal lane. The limit
counts whole seconds, which needs no timer and one dictionary entry a peer.
"""

from collections.abc import Hashable
from typing import Final

PEERS: Final = 8_192  # then forgotten: made-up addresses must not fill the memory


class UrgentLimit:
    """Owns the count of urgent rows per peer within the running second."""

    def __init__(self, rows_per_second: int) -> None:
        self._rows_per_second = rows_per_second
        self._second = -1
        self._taken: dict[Hashable, int] = {}

    def over(self, peer: Hashable, rows: int, *, now_ns: int) -> int:
        """Take note of `rows` urgent rows and give how many of them, the last ones, are over the limit."""
        second = now_ns // 1_000_000_000
        if second != self._second or len(self._taken) >= PEERS:
            self._second = second
            self._taken.clear()
        before = self._taken.get(peer, 0)
        self._taken[peer] = before + rows
        return max(0, min(rows, before + rows - self._rows_per_second))
