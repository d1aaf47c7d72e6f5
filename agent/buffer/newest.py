"""The newest batches in memory: while the next hop keeps up, nothing is ever read back from the disk."""

from collections import OrderedDict
from typing import Final

from agent.buffer.memory import take
from agent.buffer.rows import KEY_BITS, Held

LIMIT_BYTES: Final = 4 << 20


class _Tail:
    """The newest batches of one lane: every batch still held with a key from `since` on is here."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.held: dict[int, Held] = {}


class Newest:
    """Bounded in bytes over all lanes; the oldest go first."""

    def __init__(self, next_keys: tuple[int, ...]) -> None:
        """Begin with nothing: all keys below `next_keys` (numbers within a lane) are on the disk."""
        self._tails = [_Tail(lane << KEY_BITS | number) for lane, number in enumerate(next_keys)]
        self._order: OrderedDict[int, None] = OrderedDict()  # keys of all lanes as they came
        self._bytes = 0

    def add(self, held: Held) -> None:
        """Keep one more, in the order of keys."""
        self._tails[held.name.lane].held[held.key] = held
        self._order[held.key] = None
        self._bytes += held.size
        while self._bytes > LIMIT_BYTES:
            self._shorten()

    def _shorten(self) -> None:
        """Let the oldest go: by the order in which they came, which no clock step can turn round."""
        key = next(iter(self._order))
        tail = self._tails[key >> KEY_BITS]
        tail.since = max(tail.since, key + 1)
        self.remove(key)

    def remove(self, key: int) -> None:
        """Its custody ended, or it is parked."""
        held = self._tails[key >> KEY_BITS].held.pop(key, None)
        if held is not None:
            del self._order[key]
            self._bytes -= held.size

    def read(self, lane: int, *, after: int, limit_bytes: int) -> list[Held] | None:
        """The oldest batches above a key, or None: then only the store knows."""
        tail = self._tails[lane]
        if max(after, lane << KEY_BITS) + 1 < tail.since:
            return None
        return take(tail.held, after=after, limit_bytes=limit_bytes)
