"""The urgent limit: a device that claims urgency too often is put into the normal lane, and counted.

One peer in trouble (or in bad hands) must not keep every other peer's alarms waiting. A token bucket per peer, of one
second's worth; the peers remembered are bounded.
"""

import time
from typing import Final

PEERS: Final = 4_096


class UrgentLimit:
    """How many urgent rows each peer may still put."""

    def __init__(self, rows_per_second: int) -> None:
        self._rate = rows_per_second
        self._buckets: dict[str | None, tuple[float, float]] = {}  # peer → (tokens, when)

    def take(self, peer: str | None, rows: int) -> int:
        """Ask for `rows` urgent rows of a peer; give how many of them may be urgent."""
        now = time.monotonic()
        tokens, when = self._buckets.get(peer, (float(self._rate), now))
        tokens = min(float(self._rate), tokens + (now - when) * self._rate)
        granted = min(rows, int(tokens))
        if len(self._buckets) >= PEERS and peer not in self._buckets:
            self._buckets.clear()
        self._buckets[peer] = (tokens - granted, now)
        return granted
