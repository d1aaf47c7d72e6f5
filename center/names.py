"""Names of batches that a receiver has: ranges of seq per agent, epoch and lane, and their digests for some days.

In steady state a span is one range that grows at its end: a commit changes one row a span, and a repeat is told by one
bisection. Only the spans used last are held in memory.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

from wire.batch import Batch

HELD_SPANS: Final = 4_096  # about 1 KiB each
Span = tuple[str, bytes, int]
"""Agent, epoch, lane."""


class Ranges:
    """Whole numbers as sorted, disjoint ranges."""

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.firsts, number) - 1
        return at >= 0 and number <= self.lasts[at]

    def add(self, first: int, last: int) -> list[int]:
        """Add a range that is not here yet; give the firsts of ranges that it has swallowed."""
        at = bisect_right(self.firsts, first)
        gone = []
        if at and self.lasts[at - 1] + 1 == first:
            at -= 1
            first = self.firsts[at]
            self.lasts[at] = last
        else:
            self.firsts.insert(at, first)
            self.lasts.insert(at, last)
        if at + 1 < len(self.firsts) and self.firsts[at + 1] == last + 1:
            gone.append(self.firsts.pop(at + 1))
            self.lasts[at] = self.lasts.pop(at + 1)
        return gone

    def around(self, number: int) -> tuple[int, int]:
        """The range that holds a number."""
        at = bisect_right(self.firsts, number) - 1
        return self.firsts[at], self.lasts[at]


class Names:
    """The tables `span`, `range` and `digest`; `add` runs inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._held: dict[Span, tuple[int, Ranges]] = {}  # the one used last stands last

    def knows(self, span: Span, seq: int) -> bool:
        """Tell whether a seq has arrived."""
        held = self._find(span)
        return held is not None and seq in held[1]

    def digest_of(self, span: Span, seq: int) -> bytes | None:
        """The digest of a batch that has arrived, while it is remembered."""
        held = self._find(span)
        if held is None:
            return None
        row = self._db.execute("SELECT digest FROM digest WHERE span = ? AND seq = ?", (held[0], seq)).fetchone()
        return None if row is None else bytes(row[0])

    def id_of(self, span: Span) -> int:
        """The number of a span, which is made if it is new."""
        held = self._find(span)
        return held[0] if held is not None else self._make(span)[0]

    def add(self, batches: Sequence[Batch], *, now: int) -> None:
        """Remember batches that are new."""
        changed: dict[tuple[int, int], int] = {}
        gone: list[tuple[int, int]] = []
        digests: list[tuple[Any, ...]] = []
        for batch in batches:
            span, seq = (batch.head.agent, batch.name.epoch, batch.name.lane), batch.name.seq
            number, ranges = self._find(span) or self._make(span)
            for first in ranges.add(seq, seq):
                gone.append((number, first))
                changed.pop((number, first), None)
            first, last = ranges.around(seq)
            changed[number, first] = last
            digests.append((number, seq, batch.digest, now))
        many = self._db.executemany
        many("DELETE FROM range WHERE span = ? AND first = ?", gone)
        many("INSERT OR REPLACE INTO range VALUES (?,?,?)", [(*key, last) for key, last in changed.items()])
        many("INSERT OR REPLACE INTO digest VALUES (?,?,?,?)", digests)

    def tell(self, span: Span, last: int) -> None:
        """Remember the greatest seq that an agent has told of: a store put back from a copy tells less than before."""
        self._db.execute("UPDATE span SET told = max(told, ?) WHERE id = ?", (last, self.id_of(span)))

    def trim(self) -> None:
        """Hold the spans used last; between transactions only, or what is not written yet would be lost."""
        while len(self._held) > HELD_SPANS:
            del self._held[next(iter(self._held))]

    def forget(self) -> None:
        """Hold nothing in memory: the transaction was rolled back."""
        self._held.clear()

    def _find(self, span: Span) -> tuple[int, Ranges] | None:
        held = self._held.pop(span, None)
        if held is None:
            query = "SELECT id FROM span WHERE agent = ? AND epoch = ? AND lane = ?"
            row = self._db.execute(query, span).fetchone()
            if row is None:
                return None
            held = (row[0], Ranges())
            query = "SELECT first, last FROM range WHERE span = ? ORDER BY first"
            for first, last in self._db.execute(query, (row[0],)):
                held[1].firsts.append(first)
                held[1].lasts.append(last)
        return self._hold(span, held)

    def _make(self, span: Span) -> tuple[int, Ranges]:
        number = self._db.execute("INSERT INTO span(agent, epoch, lane) VALUES (?,?,?)", span).lastrowid
        assert number is not None
        return self._hold(span, (number, Ranges()))

    def _hold(self, span: Span, held: tuple[int, Ranges]) -> tuple[int, Ranges]:
        self._held[span] = held
        return held
