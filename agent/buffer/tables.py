"""The store's small tables, held in memory as of the last commit: epochs, spans, lanes, account, marks.

They are a few dozen rows whatever the backlog, so opening reads them whole, and a commit writes absolute values: it
may be tried twice without counting twice.
"""

import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from agent.buffer.faults import Nonsense
from agent.buffer.rows import KEY_BITS, ROT, Held
from wire.names import LANES

OWN: Final = ""  # the collector under whose name the buffer keeps its own marks
COMMIT: Final = (OWN, "commit")  # number and time of the last commit
WAL: Final = (OWN, "wal")  # the name of the WAL, see `lineage.py`
CLEAN: Final = (OWN, "clean")  # there after a clean stop, empty from the next commit on
_COMMIT: Final = struct.Struct(">Qq")
_MOST: Final = 1 << 62  # above every count, key and time; SQLite's numbers end at 1 << 63
_LASTS: Final = """
SELECT lane, coalesce((SELECT max(id) FROM batch WHERE id < (lane + 1) << 48), 0) FROM lane ORDER BY lane
"""
Row = tuple[Any, ...]
RowsOf = Callable[..., list[Row]]  # (connection, query, the types of its columns) → the rows that count


class Epoch(NamedTuple):
    """One epoch: its row number, when it was drawn, in which boot, and whose rows are named under it."""

    n: int
    opened_ns: int
    boot: bytes
    origin: str


@dataclass(slots=True)
class SpanRow:
    """One epoch in one lane: a batch's key is `base + seq`; `first_held` is as of the last look."""

    base: int
    first_held: int
    last: int


@dataclass(slots=True)
class LaneRow:
    """One lane: the next key's number, and what it holds."""

    next: int = 1
    batches: int = 0
    bytes: int = 0
    parked: int = 0


class Gone(NamedTuple):
    """A batch as a DELETE found it."""

    key: int
    epoch_n: int
    stream: str
    rows: int
    size: int
    parked: str | None


@dataclass(slots=True)
class Tables:
    """A copy of the small tables, changed by a draft and adopted after the commit."""

    epochs: dict[bytes, Epoch] = field(default_factory=dict)
    spans: dict[tuple[bytes, int], SpanRow] = field(default_factory=dict)
    lanes: list[LaneRow] = field(default_factory=lambda: [LaneRow(), LaneRow(), LaneRow()])
    account: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    marks: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def commits(self) -> int:
        """Number of the last commit; 0 when there was none."""
        return self._commit()[0]

    @property
    def committed_ns(self) -> int:
        """Time of the last commit."""
        return self._commit()[1]

    def _commit(self) -> tuple[int, int]:
        value = self.marks.get(COMMIT, b"")
        number, at = _COMMIT.unpack(value) if len(value) == _COMMIT.size else (0, 0)
        return int(number), int(at)


def read_tables(db: sqlite3.Connection) -> Tables:
    """Read all five; the keys of a lane are checked against its last batch, by one look each.

    Raises:
        Nonsense: what stands there cannot be.
    """
    tables = read_with(db, every_row)
    if len(tables.lanes) != len(LANES):
        raise Nonsense("the table lane has not its three rows")
    return tables


def every_row(db: sqlite3.Connection, query: str, *kinds: type) -> list[Row]:
    """Give the rows of a query.

    Raises:
        Nonsense: one has values of other types than `kinds`, or numbers that cannot be.
    """
    rows: list[Row] = db.execute(query).fetchall()
    for row in rows:
        if not is_sound(row, *kinds):
            raise Nonsense(f"a row of a small table reads {row!r:.200}")
    return rows


def is_sound(row: Row, *kinds: type) -> bool:
    """Whether a row holds values of these types, and no number beyond all counting."""
    return tuple(map(type, row)) == kinds and all(abs(value) < _MOST for value in row if type(value) is int)


def read_with(db: sqlite3.Connection, rows_of: RowsOf) -> Tables:
    """Read all five tables by a function that says which rows count."""
    epochs = rows_of(db, "SELECT n, id, opened_ns, boot, origin FROM epoch", int, bytes, int, bytes, str)
    lanes = rows_of(db, "SELECT lane, next, batches, bytes, parked FROM lane ORDER BY lane", *[int] * 5)
    account = rows_of(db, "SELECT origin, stream, what, rows, bytes FROM account", str, str, str, int, int)
    marks = rows_of(db, "SELECT collector, key, value FROM mark", str, str, bytes)
    lasts = rows_of(db, _LASTS, int, int)
    tables = Tables(
        epochs={row[1]: Epoch(row[0], *row[2:]) for row in epochs},
        lanes=_lanes(lanes, lasts),
        account={(row[0], row[1], row[2]): (row[3], row[4]) for row in account},
        marks={(row[0], row[1]): row[2] for row in marks},
    )
    tables.spans = read_spans(db, tables.epochs, rows_of=rows_of)
    return tables


def _lanes(rows: list[Row], lasts: list[Row]) -> list[LaneRow]:
    """The lanes with their next keys, above every key that is there; none if these are not known."""
    lanes = [LaneRow(*row[1:]) for row in rows]
    for row, (lane, last) in zip(lanes, lasts, strict=False):
        if last >> KEY_BITS == lane:
            row.next = max(row.next, number_of(last) + 1)
    return lanes if len(lanes) == len(lasts) else []


def read_spans(
    db: sqlite3.Connection, epochs: dict[bytes, Epoch], *, rows_of: RowsOf = every_row
) -> dict[tuple[bytes, int], SpanRow]:
    """Read the spans, in the order in which their epochs were stored."""
    ids = {epoch.n: epoch_id for epoch_id, epoch in epochs.items()}
    query = "SELECT epoch_n, lane, base, first_held, last FROM span ORDER BY epoch_n, lane"
    rows = rows_of(db, query, *[int] * 5)
    return {(ids[n], lane): SpanRow(base, first, last) for n, lane, base, first, last in rows if n in ids}


class Draft:
    """What one transaction makes of the tables: absolute values of every row it touches."""

    def __init__(self, tables: Tables, *, origin: str, now_ns: int) -> None:
        self._tables = tables
        self._origin = origin
        self._now_ns = now_ns
        self.lanes: dict[int, LaneRow] = {}
        self.account: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.spans: dict[tuple[bytes, int], SpanRow] = {}
        self.marks: dict[tuple[str, str], bytes] = {COMMIT: _COMMIT.pack(tables.commits + 1, now_ns)}
        if tables.marks.get(CLEAN):
            self.marks[CLEAN] = b""

    def go_on_after(self, old: Tables) -> None:
        """Take over what another file says: its spans, the marks that are not here, and the later number of commits.

        Where batches were named here already, those of the other file get keys above them.
        """
        known = {*self._tables.marks, *self.marks, CLEAN, WAL}
        self.marks.update({key: value for key, value in old.marks.items() if key not in known})
        self.marks[COMMIT] = _COMMIT.pack(max(old.commits, self._tables.commits) + 1, self._now_ns)
        moved = [row.next - 1 if self._tables.commits else 0 for row in self._tables.lanes]
        for lane, row in enumerate(old.lanes):
            self.lane(lane).next = max(row.next + moved[lane], self.lane(lane).next)
        for (epoch, lane), span in old.spans.items():
            if (epoch, lane) not in self._tables.spans:
                self.spans[epoch, lane] = SpanRow(span.base + moved[lane], span.first_held, span.last)

    def lane(self, lane: int) -> LaneRow:
        """A lane's row, to be changed."""
        if lane not in self.lanes:
            row = self._tables.lanes[lane]
            self.lanes[lane] = LaneRow(row.next, row.batches, row.bytes, row.parked)
        return self.lanes[lane]

    def count(self, stream: str, what: str, rows: int, *, size: int = 0, origin: str | None = None) -> None:
        """Add to the account."""
        key = (origin or self._origin, stream, what)
        old_rows, old_size = self.account.get(key) or self._tables.account.get(key, (0, 0))
        self.account[key] = (old_rows + rows, old_size + size)

    def append(self, held: Held, *, is_received: bool = True) -> None:
        """Take a new batch in; one that is salvaged was received long ago."""
        lane = self.lane(held.name.lane)
        lane.next = max(lane.next, number_of(held.key) + 1)
        lane.batches += 1
        lane.bytes += held.size
        span = self.span(held.name.epoch, held.name.lane, base=held.key - held.name.seq)
        span.last = max(span.last, held.name.seq)
        if is_received:
            self.count(held.stream, "received", held.rows, size=held.size)

    def span(self, epoch: bytes, lane: int, *, base: int) -> SpanRow:
        """A span's row, to be changed."""
        key = (epoch, lane)
        if key not in self.spans:
            row = self._tables.spans.get(key) or SpanRow(base, 1, 0)
            self.spans[key] = SpanRow(row.base, row.first_held, row.last)
        return self.spans[key]

    def key_of(self, held: Held) -> int:
        """The key that a batch must have by its span; its own if there is none."""
        span = self._tables.spans.get(held.name[:2])
        key = held.key if span is None else span.base + held.name.seq
        return key if key >> KEY_BITS == held.name.lane else held.key

    def delete(self, gone: Iterable[Gone], *, what: dict[int, str]) -> None:
        """Take ended batches out; rotten ones left the account when they were found."""
        ids = {epoch.n: (epoch_id, epoch.origin) for epoch_id, epoch in self._tables.epochs.items()}
        for one in gone:
            lane = self.lane(one.key >> KEY_BITS)
            lane.batches -= 1
            lane.bytes -= one.size
            lane.parked -= one.parked is not None
            epoch, origin = ids[one.epoch_n]
            self.span(epoch, one.key >> KEY_BITS, base=0)
            if one.parked != ROT:
                self.count(one.stream, what[one.key], one.rows, size=one.size, origin=origin)

    def adopt(self) -> None:
        """The transaction holds: let the tables say so."""
        tables = self._tables
        for lane, row in self.lanes.items():
            tables.lanes[lane] = row
        tables.account.update(self.account)
        tables.spans.update(self.spans)
        tables.marks.update(self.marks)


def number_of(key: int) -> int:
    """The number of a key within its lane."""
    return key & ((1 << KEY_BITS) - 1)


def lane_rows(lanes: dict[int, LaneRow]) -> Sequence[tuple[int, int, int, int, int]]:
    """As the table has them, for INSERT OR REPLACE."""
    return [(lane, row.next, row.batches, row.bytes, row.parked) for lane, row in lanes.items()]
