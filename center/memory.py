"""What a receiver remembers: which batches it has, whose rows, what was declared lost, and how far its files hold.

`receive.db` lies beside the sink, and changes in one transaction after the sink has synced: names, counts and file
positions together. Names are kept as ranges for ever; digests for some days, so that a repeat (same bytes) is told
from a conflict (other bytes under the same name). One connection, on one thread (`agent/buffer` has the reasons).
"""

import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from wire.batch import Batch
from wire.names import BatchName

FORMAT: Final = 2
DIGEST_DAYS: Final = 7
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "locking_mode=EXCLUSIVE",
    "trusted_schema=OFF",
    "mmap_size=0",
)
_SCHEMA: Final = """
CREATE TABLE range(agent TEXT, epoch BLOB, lane INTEGER, first INTEGER, last INTEGER NOT NULL,
                   PRIMARY KEY(agent, epoch, lane, first)) WITHOUT ROWID;
CREATE TABLE rows(agent TEXT, stream TEXT, rows INTEGER NOT NULL, PRIMARY KEY(agent, stream)) WITHOUT ROWID;
CREATE TABLE state(agent TEXT PRIMARY KEY, site TEXT, at INTEGER, payload BLOB) WITHOUT ROWID;
CREATE TABLE told(agent TEXT, epoch BLOB, lane INTEGER, last INTEGER NOT NULL,
                  PRIMARY KEY(agent, epoch, lane)) WITHOUT ROWID;
CREATE TABLE declared(agent TEXT, epoch BLOB, lane INTEGER, first INTEGER, last INTEGER, rows INTEGER, reason TEXT,
                      PRIMARY KEY(agent, epoch, lane, first)) WITHOUT ROWID;
CREATE TABLE position(file TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
"""
_DIGESTS: Final = """
DROP TABLE IF EXISTS digest;
CREATE TABLE digest(agent TEXT, epoch BLOB, lane INTEGER, seq INTEGER, digest BLOB NOT NULL, at INTEGER NOT NULL,
                    PRIMARY KEY(agent, epoch, lane, seq)) WITHOUT ROWID;
"""  # anew from format 1, which knew no agent: an agent could put its digest in the place of another's
Span = tuple[str, bytes, int]


class Declared(NamedTuple):
    """A loss that its agent declared: a range of seq, both ends included."""

    agent: str
    epoch: bytes
    lane: int
    first: int
    last: int
    rows: int
    reason: str


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


class Memory:
    """The one connection to `receive.db`."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found < FORMAT:
            script = _DIGESTS if found else _SCHEMA + _DIGESTS
            self._db.executescript(f"BEGIN EXCLUSIVE;{script}PRAGMA user_version={FORMAT};COMMIT")
        self.ranges: dict[Span, Ranges] = {}
        for agent, epoch, lane, first, last in self._db.execute(
            "SELECT * FROM range ORDER BY agent, epoch, lane, first"
        ):
            self.ranges.setdefault((agent, epoch, lane), Ranges()).add(first, last)
        self.rows: Counter[tuple[str, str]] = Counter()
        for agent, stream, rows in self._db.execute("SELECT * FROM rows"):
            self.rows[agent, stream] = rows
        self.positions: dict[str, int] = dict(self._db.execute("SELECT file, bytes FROM position"))

    def knows(self, agent: str, name: BatchName) -> bool:
        """Tell whether a batch of that name was committed."""
        ranges = self.ranges.get((agent, name.epoch, name.lane))
        return ranges is not None and name.seq in ranges

    def digest_of(self, agent: str, name: BatchName) -> bytes | None:
        """The digest under which a name was committed, while it is remembered."""
        query = "SELECT digest FROM digest WHERE agent = ? AND epoch = ? AND lane = ? AND seq = ?"
        row = self._db.execute(query, (agent, *name)).fetchone()
        return None if row is None else bytes(row[0])

    def commit(
        self, batches: Sequence[Batch], *, positions: Mapping[str, int], declared: Sequence[Declared] = ()
    ) -> None:
        """Remember batches that the sink holds now, in one transaction with its positions."""
        now = time.time_ns()
        rows: Counter[tuple[str, str]] = Counter()
        for batch in batches:
            rows[batch.head.agent, batch.head.stream] += batch.head.rows
        execute, many = self._db.execute, self._db.executemany
        execute("BEGIN IMMEDIATE")
        try:
            self._add_names(batches)
            many(
                "INSERT OR REPLACE INTO digest VALUES (?,?,?,?,?,?)",
                [(one.head.agent, *one.name, one.digest, now) for one in batches],
            )
            many(
                "INSERT INTO rows VALUES (?,?,?) ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
                [(*key, number) for key, number in rows.items()],
            )
            many("INSERT OR REPLACE INTO position VALUES (?,?)", list(positions.items()))
            many("INSERT OR REPLACE INTO declared VALUES (?,?,?,?,?,?,?)", declared)
            execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise
        self.rows.update(rows)
        self.positions.update(positions)

    def _add_names(self, batches: Sequence[Batch]) -> None:
        changed: dict[tuple[Span, int], int] = {}
        gone: list[tuple[Any, ...]] = []
        for batch in batches:
            span = (batch.head.agent, batch.name.epoch, batch.name.lane)
            ranges = self.ranges.setdefault(span, Ranges())
            for first in ranges.add(batch.name.seq, batch.name.seq):
                gone.append((*span, first))
                changed.pop((span, first), None)
            at = bisect_right(ranges.firsts, batch.name.seq) - 1
            changed[span, ranges.firsts[at]] = ranges.lasts[at]
        self._db.executemany("DELETE FROM range WHERE agent = ? AND epoch = ? AND lane = ? AND first = ?", gone)
        self._db.executemany(
            "INSERT OR REPLACE INTO range VALUES (?,?,?,?,?)",
            [(*span, first, last) for (span, first), last in changed.items()],
        )

    def forget_positions(self, files: Sequence[str]) -> None:
        """Forget files that are finished."""
        self._db.executemany("DELETE FROM position WHERE file = ?", [(file,) for file in files])
        for file in files:
            self.positions.pop(file, None)

    def forget_digests(self) -> None:
        """Forget digests older than `DIGEST_DAYS`; the names stay."""
        self._db.execute("DELETE FROM digest WHERE at < ?", (time.time_ns() - DIGEST_DAYS * 86_400 * 10**9,))

    def hear(self, site: str, agent: str, payload: bytes, *, spans: Sequence[tuple[bytes, int, int]]) -> None:
        """Keep an agent's last state, and the greatest seq it ever told of in each (epoch, lane).

        A store that was put back from a copy tells less than before; what it no longer knows of must not be forgotten.
        """
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?,?,?,?)", (agent, site, time.time_ns(), payload))
        self._db.executemany(
            "INSERT INTO told VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
            [(agent, *span) for span in spans],
        )
        self._db.execute("COMMIT")

    def told(self) -> dict[Span, int]:
        """The greatest seq that each agent ever told of, by (agent, epoch, lane)."""
        return {(agent, epoch, lane): last for agent, epoch, lane, last in self._db.execute("SELECT * FROM told")}

    def states(self) -> list[tuple[str, str, int, bytes]]:
        """Agent, site, when it was heard, and its last state as bytes."""
        return self._db.execute("SELECT agent, site, at, payload FROM state ORDER BY agent").fetchall()

    def declared(self) -> list[Declared]:
        """Every loss that was declared."""
        return [Declared(*row) for row in self._db.execute("SELECT * FROM declared")]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
