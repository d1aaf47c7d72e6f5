"""What a receiver remembers: which batches it has, whose rows, what was declared lost, and how far its files hold.

`receive.db` lies beside the sink, and changes in one transaction after the sink has synced: names, counts, states and
file positions together. Names are kept as ranges for ever; digests for some days, so that a repeat (same bytes) is
told from a conflict (other bytes under the same name). Start-up and memory do not depend on how much is remembered:
ranges are read when a batch of their span comes.

    agent, epoch, lane ──► span ──► ranges of seq that arrived      (`center/names.py`)
                                └─► ranges declared lost, or refused here

One connection, on one thread (`agent/buffer` has the reasons).
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from center.names import Names, Span
from center.refused import Tallies, Tally
from center.states import States
from wire.batch import Batch
from wire.declared import UncleanStop
from wire.names import BatchName
from wire.receive import Heard

FORMAT: Final = 1
DIGEST_DAYS: Final = 7
LOCK_SECONDS: Final = 5.0  # while somebody reads the ledger out of the file of a receiver that just starts
FORGET_ROWS: Final = 20_000  # digests forgotten in one transaction, about 50 ms
REFUSED: Final = "refused"  # what was lost by our own word; everything else was declared by its agent
DECLARED: Final = "declared"
_PRAGMAS: Final = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    "trusted_schema=OFF",
    "mmap_size=0",
)
_SCHEMA: Final = """
CREATE TABLE span(id INTEGER PRIMARY KEY, agent TEXT NOT NULL, epoch BLOB NOT NULL, lane INTEGER NOT NULL,
                  told INTEGER NOT NULL DEFAULT 0, UNIQUE(agent, epoch, lane));
CREATE TABLE range(span INTEGER, first INTEGER, last INTEGER NOT NULL, PRIMARY KEY(span, first)) WITHOUT ROWID;
CREATE TABLE digest(span INTEGER, seq INTEGER, digest BLOB NOT NULL, at INTEGER NOT NULL,
                    PRIMARY KEY(span, seq)) WITHOUT ROWID;
CREATE INDEX digest_at ON digest(at);
CREATE TABLE lost(span INTEGER, first INTEGER, last INTEGER NOT NULL, why TEXT, reason TEXT,
                  PRIMARY KEY(span, why, first)) WITHOUT ROWID;
CREATE TABLE rows(agent TEXT, stream TEXT, rows INTEGER NOT NULL, PRIMARY KEY(agent, stream)) WITHOUT ROWID;
CREATE TABLE state(agent TEXT PRIMARY KEY, site TEXT, at INTEGER, payload BLOB) WITHOUT ROWID;
CREATE TABLE unclean(agent TEXT, first_ns INTEGER, last_ns INTEGER, PRIMARY KEY(agent, first_ns, last_ns)) WITHOUT ROWID;
CREATE TABLE position(file TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE refused(reason TEXT PRIMARY KEY, kept INTEGER NOT NULL DEFAULT 0, kept_bytes INTEGER NOT NULL DEFAULT 0,
                     discarded INTEGER NOT NULL DEFAULT 0, discarded_bytes INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE gone(file TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Unknown(Exception):
    """A memory of another format: it is left alone. The text says what to do."""


class Lost(NamedTuple):
    """A range of seq that will not arrive, both ends included: declared by its agent, or refused here."""

    span: Span
    first: int
    last: int
    reason: str
    why: str = DECLARED


@dataclass(slots=True)
class Change:
    """What one transaction remembers."""

    batches: list[Batch] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    stops: list[tuple[str, UncleanStop]] = field(default_factory=list)
    refused: Tallies = field(default_factory=dict)
    states: Sequence[Heard] = ()

    def __bool__(self) -> bool:
        return bool(self.batches or self.positions or self.lost or self.stops or self.refused or self.states)


class Memory:
    """The one connection to `receive.db`."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        with ExitStack() as stack:
            stack.callback(self._db.close)
            self._prepare(path)
            stack.pop_all()
        self._names = Names(self._db)
        self._states = States(self._db)

    def _prepare(self, path: Path) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            self._db.executescript(f"BEGIN EXCLUSIVE;{_SCHEMA}PRAGMA user_version={FORMAT};COMMIT")
        elif found != FORMAT:
            raise Unknown(f"{path} has format {found}, this receiver knows {FORMAT}; use the version that wrote it")
        self.positions: dict[str, int] = dict(self._db.execute("SELECT file, bytes FROM position"))

    # --- names -----------------------------------------------------------------------------------------------------

    def knows(self, agent: str, name: BatchName) -> bool:
        """Tell whether a batch of that name was committed."""
        return self._names.knows((agent, name.epoch, name.lane), name.seq)

    def digest_of(self, agent: str, name: BatchName) -> bytes | None:
        """The digest under which a name was committed, while it is remembered."""
        return self._names.digest_of((agent, name.epoch, name.lane), name.seq)

    def commit(self, change: Change) -> None:
        """Remember what the sink holds now, in one transaction with its positions."""
        self._names.trim()
        if not change:
            return
        now = time.time_ns()
        with self._transaction():
            self._names.add(change.batches, now=now)
            self._write(change)
            self._states.hear(change.states, names=self._names, now=now)
        self.positions.update(change.positions)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Whole or not at all; after a failure the names are read anew."""
        self._db.execute("BEGIN IMMEDIATE")
        with ExitStack() as stack:
            stack.callback(self._undo)
            yield
            self._db.execute("COMMIT")
            stack.pop_all()

    def _undo(self) -> None:
        self._names.forget()
        if self._db.in_transaction:  # some errors roll back by themselves
            self._db.execute("ROLLBACK")

    def _write(self, change: Change) -> None:
        rows: Counter[tuple[str, str]] = Counter()
        for batch in change.batches:
            rows[batch.head.agent, batch.head.stream] += batch.head.rows
        many = self._db.executemany
        many(
            "INSERT INTO rows VALUES (?,?,?) ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
            [(*key, number) for key, number in rows.items()],
        )
        many("INSERT OR REPLACE INTO position VALUES (?,?)", list(change.positions.items()))
        many(
            "INSERT INTO lost VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
            [(self._names.id_of(one.span), one.first, one.last, one.why, one.reason) for one in change.lost],
        )
        many("INSERT OR IGNORE INTO unclean VALUES (?,?,?)", [(agent, *stop) for agent, stop in change.stops])
        many(
            "INSERT INTO refused(reason, kept, kept_bytes) VALUES (?,?,?) ON CONFLICT DO UPDATE"
            " SET kept = kept + excluded.kept, kept_bytes = kept_bytes + excluded.kept_bytes",
            [(reason, *tally) for reason, tally in change.refused.items()],
        )

    def forget_positions(self, files: Sequence[str]) -> None:
        """Forget files that are finished."""
        if files:
            self._db.executemany("DELETE FROM position WHERE file = ?", [(file,) for file in files])
        for file in files:
            self.positions.pop(file, None)

    def forget_digests(self) -> int:
        """Forget digests older than `DIGEST_DAYS`, at most `FORGET_ROWS` of them; the names stay. Give how many."""
        before = time.time_ns() - DIGEST_DAYS * 86_400 * 10**9
        forgotten = self._db.execute(
            "DELETE FROM digest WHERE (span, seq) IN (SELECT span, seq FROM digest WHERE at < ? ORDER BY at LIMIT ?)",
            (before, FORGET_ROWS),
        )
        return forgotten.rowcount

    # --- refused ---------------------------------------------------------------------------------------------------

    def discard(self, file: str, tallies: Tallies) -> None:
        """Count what a file of `refused/` held, and note that it is to go; only then it may be taken away."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO refused(reason, discarded, discarded_bytes) VALUES (?,?,?) ON CONFLICT DO UPDATE"
                " SET discarded = discarded + excluded.discarded,"
                " discarded_bytes = discarded_bytes + excluded.discarded_bytes",
                [(reason, *tally) for reason, tally in tallies.items()],
            )
            self._db.execute("INSERT OR IGNORE INTO gone VALUES (?)", (file,))

    def gone(self) -> list[str]:
        """Files that were counted as discarded, and may still lie there."""
        return [file for (file,) in self._db.execute("SELECT file FROM gone")]

    def forget_gone(self, file: str) -> None:
        """A discarded file has been taken away."""
        self._db.execute("DELETE FROM gone WHERE file = ?", (file,))

    # --- what the ledger asks --------------------------------------------------------------------------------------

    def spans(self) -> Iterator[tuple[Span, int, int]]:
        """Every span, with its number and the greatest seq that its agent ever told of, sorted."""
        for number, agent, epoch, lane, told in self._db.execute("SELECT * FROM span ORDER BY agent, epoch, lane"):
            yield (agent, epoch, lane), number, told

    def arrived(self, number: int) -> list[tuple[int, int]]:
        """Ranges of seq that arrived, of the span with that number, sorted and disjoint."""
        return self._db.execute("SELECT first, last FROM range WHERE span = ? ORDER BY first", (number,)).fetchall()

    def lost(self, number: int, why: str) -> list[tuple[int, int]]:
        """Ranges of seq that are declared lost, or refused, sorted; they may overlap."""
        found = self._db.execute(
            "SELECT first, last FROM lost WHERE span = ? AND why = ? ORDER BY first", (number, why)
        )
        return found.fetchall()

    def rows(self) -> list[tuple[str, str, int]]:
        """Agent, stream, and how many rows were committed."""
        return self._db.execute("SELECT * FROM rows ORDER BY agent, stream").fetchall()

    def states(self) -> list[tuple[str, str, int, bytes]]:
        """Agent, site, when it was heard, and its last state as bytes."""
        return self._db.execute("SELECT agent, site, at, payload FROM state ORDER BY agent").fetchall()

    def stops(self) -> list[tuple[str, int, int]]:
        """Agent, first_ns and last_ns of every unclean stop."""
        return self._db.execute("SELECT * FROM unclean ORDER BY agent, first_ns").fetchall()

    def refused(self) -> Mapping[str, tuple[Tally, Tally]]:
        """By reason: what was kept of what was refused, and how much of that was discarded since."""
        found = self._db.execute("SELECT * FROM refused ORDER BY reason").fetchall()
        return {reason: (Tally(*numbers[:2]), Tally(*numbers[2:])) for reason, *numbers in found}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
