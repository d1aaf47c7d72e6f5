"""The file: opening, transactions, reads. Synchronous; used by the writer thread alone.

A commit is one transaction of at most eight SQLite calls, however many rows it carries:

    begin  delete  insert  span  lane  account  mark  commit        (epoch: with the first commit of an epoch)

Keys are `lane << 48 | n`: one B-tree is three queues, each lane's oldest first, without a second index. A read is a
range of that tree. Opening reads a handful of rows, whatever the backlog.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.buffer.connection import Step, closed_on_failure, connect, connect_read_only, no_step, one, schema_read
from agent.buffer.faults import Nonsense
from agent.buffer.lineage import next_name
from agent.buffer.rows import KEY_BITS, ROT, Changes, Held, Origin, Victim
from agent.buffer.schema import PAGE_BYTES
from agent.buffer.tables import WAL, Draft, Epoch, Gone, Row, Tables, is_sound, lane_rows, read_spans, read_tables
from wire.batch import Refused, decode_head, digest
from wire.names import BatchName

STEPS: Final = (
    *("open", "pragmas", "format", "tables"),
    *("begin", "epoch", "delete", "insert", "park", "span", "lane", "account", "mark", "commit", "committed"),
    *("read", "victims", "spans", "size", "checkpoint", "vacuum", "prune", "close"),
)
"""Every point at which the disk can fail; `Store` tells its `step` hook each name just before it happens."""

_BATCH: Final = "SELECT b.id, e.id, b.seq, b.stream, b.rows, b.digest, b.head, b.body, b.committed_ns"
_FROM: Final = "FROM batch b LEFT JOIN epoch e ON e.n = b.epoch_n"  # no batch hides behind an epoch that is rotten
_MOST_BYTES: Final = 1 << 24  # above every batch
_SPAN: Final = """
INSERT INTO span VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET last = excluded.last, first_held =
    coalesce((SELECT min(id) FROM batch WHERE id > base AND id <= base + excluded.last) - base, excluded.last + 1)
"""


class Store:
    """The one connection to the one file."""

    def __init__(self, path: Path, origin: Origin, *, step: Step = no_step, is_read_only: bool = False) -> None:
        """Open the file, make it if need be; `is_read_only` where the disk takes no write.

        Raises:
            sqlite3.Error: `faults.fault_of` tells which state that is.
        """
        self.path = path
        self._origin = origin
        self._step = step
        self._db = (connect_read_only if is_read_only else connect)(path, step=step)
        self._is_wal_new = False  # whether the next commit is the first of its WAL
        with closed_on_failure(self._db), schema_read():
            self.tables: Tables = read_tables(self._db)
            self._is_wal_new = not is_read_only and not self.wal_bytes()

    # --- transactions ----------------------------------------------------------------------------------------------

    def append(self, new: Sequence[Held], changes: Changes) -> None:
        """Commit named batches, ends of custody, marks and counts together.

        Raises:
            sqlite3.Error: nothing of it has happened, unless the commit itself failed and the file is opened again.
        """
        draft = self._draft()
        draft.marks.update(changes.marks)
        for (stream, what), rows in changes.counts.items():
            draft.count(stream, what, rows)
        with self._transaction(draft):
            self._add_epochs({held.name.epoch: None for held in new})
            if changes.done:
                self._delete(draft, changes.done)
            self._insert(draft, new)

    def _draft(self) -> Draft:
        draft = Draft(self.tables, origin=self._origin.agent, now_ns=time.time_ns())
        if self._is_wal_new:
            draft.marks[WAL] = next_name(self.tables.marks.get(WAL, b""))
        return draft

    @contextmanager
    def _transaction(self, draft: Draft) -> Iterator[None]:
        """Write what the body does and then the draft, as one; after it the tables say so too."""
        known = dict(self.tables.epochs)
        is_done = False
        self._step("begin")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._write(draft)
            self._step("commit")
            self._db.execute("COMMIT")
            self._step("committed")
            is_done = True
        finally:
            if not is_done:
                self.tables.epochs = known
                if self._db.in_transaction:  # some errors roll back by themselves
                    self._db.execute("ROLLBACK")
        draft.adopt()
        self._is_wal_new = False

    def _add_epochs(self, epochs: Mapping[bytes, Epoch | None]) -> None:
        """Store epochs that are not there yet; those without a row of their own are drawn here and now."""
        for epoch_id, old in epochs.items():
            if epoch_id in self.tables.epochs:
                continue
            self._step("epoch")
            row = old or Epoch(0, time.time_ns(), self._origin.boot, self._origin.agent)
            added = self._db.execute(
                "INSERT INTO epoch(id, opened_ns, boot, origin) VALUES (?,?,?,?)", (epoch_id, *row[1:])
            )
            self.tables.epochs[epoch_id] = row._replace(n=int(added.lastrowid or 0))

    def _delete(self, draft: Draft, done: dict[int, str]) -> None:
        self._step("delete")
        found = self._db.execute(
            "DELETE FROM batch WHERE id IN (SELECT value FROM json_each(?))"
            " RETURNING id, epoch_n, stream, rows, size, parked",
            (json.dumps(list(done)),),
        )
        draft.delete(map(self._gone, found.fetchall()), what=done)

    def _gone(self, row: Row) -> Gone:
        known = {epoch.n for epoch in self.tables.epochs.values()}
        key, epoch_n, stream, rows, size = _checked(row[:5], int, int, str, int, int)
        if epoch_n not in known or not 0 < size < _MOST_BYTES:
            raise Nonsense(f"the row of batch {key} is damaged")
        return Gone(key, epoch_n, stream, rows, size, None if row[5] is None else str(row[5]))

    def _insert(self, draft: Draft, new: Sequence[Held], *, is_received: bool = True) -> None:
        if not new:
            return
        for held in new:
            draft.append(held, is_received=is_received)
        self._step("insert")
        self._db.executemany("INSERT INTO batch VALUES (?,?,?,NULL,?,?,?,?,?,?,?)", map(self._row, new))

    def _row(self, held: Held) -> tuple[Any, ...]:
        n, seq, size = self.tables.epochs[held.name.epoch].n, held.name.seq, held.size
        return held.key, n, seq, held.stream, held.rows, size, held.committed_ns, held.digest, held.head, held.body

    def _write(self, draft: Draft) -> None:
        """Write what the draft says: absolute values, one call a table."""
        epochs = self.tables.epochs
        spans = [
            (epochs[epoch].n, lane, row.base, row.first_held, row.last) for (epoch, lane), row in draft.spans.items()
        ]
        account = [(*key, *sums) for key, sums in draft.account.items()]
        marks = [(*key, value) for key, value in draft.marks.items()]
        for step, statement, values in (
            ("span", _SPAN, spans),
            ("lane", "INSERT OR REPLACE INTO lane VALUES (?,?,?,?,?)", lane_rows(draft.lanes)),
            ("account", "INSERT OR REPLACE INTO account VALUES (?,?,?,?,?)", account),
            ("mark", "INSERT OR REPLACE INTO mark VALUES (?,?,?)", marks),
        ):
            if values:
                self._step(step)
                self._db.executemany(statement, values)

    def park(self, reasons: dict[int, str]) -> None:
        """Keep batches but never read them again; those that are rotten leave the account as dropped."""
        draft = self._draft()
        with self._transaction(draft):
            for reason in dict.fromkeys(reasons.values()):
                self._step("park")
                keys = [key for key, why in reasons.items() if why == reason]
                found = self._db.execute(
                    "UPDATE batch SET parked = ? WHERE id IN (SELECT value FROM json_each(?)) AND parked IS NULL"
                    " RETURNING id, stream, rows, size",
                    (reason, json.dumps(keys)),
                )
                for row in found.fetchall():
                    key, stream, rows, size = _checked(row, int, str, int, int)
                    draft.lane(key >> KEY_BITS).parked += 1
                    if reason == ROT:
                        draft.count(stream, f"dropped:{ROT}", rows, size=size)

    def carry(self, old: Tables, *, mark: tuple[str, str], value: bytes) -> None:
        """Take over the small tables of a file whose batches are still to be salvaged, with a mark of it."""
        draft = self._draft()
        for (origin, stream, what), (rows, size) in old.account.items():
            draft.count(stream, what, rows, size=size, origin=origin)
        draft.go_on_after(old)
        draft.marks[mark] = value
        with self._transaction(draft):
            self._add_epochs(old.epochs)

    def salvage(self, found: Sequence[Held], *, mark: tuple[str, str], value: bytes) -> None:
        """Take salvaged batches in under their names, with a mark of how far; a key that is taken stays as it is."""
        draft = self._draft()
        draft.marks[mark] = value
        rightly = [held._replace(key=draft.key_of(held)) for held in found]
        keys = json.dumps([held.key for held in rightly])
        query = "SELECT id FROM batch WHERE id IN (SELECT value FROM json_each(?))"
        known = {row[0] for row in self._db.execute(query, (keys,))}
        new = list({held.key: held for held in rightly if held.key not in known}.values())
        with self._transaction(draft):
            self._add_epochs({held.name.epoch: None for held in new})
            self._insert(draft, new, is_received=False)

    def balance(self, reason: str) -> dict[str, int]:
        """Make the account close again after a loss nobody could count: scan what is held, drop the difference.

        Returns:
            Rows by stream that were dropped for `reason`; below nought those that the account had not known.
        """
        held = self._db.execute("SELECT stream, sum(rows) FROM batch WHERE parked IS NOT ? GROUP BY stream", (ROT,))
        missing = {stream: -rows for stream, rows in held.fetchall()}
        for (_, stream, what), (rows, _) in self.tables.account.items():
            missing[stream] = missing.get(stream, 0) + (rows if what == "received" else -rows)
        draft = self._draft()
        for stream, rows in missing.items():
            if rows > 0:
                draft.count(stream, f"dropped:{reason}", rows)
            elif rows < 0:
                draft.count(stream, "received", -rows)
        with self._transaction(draft):
            pass
        return {stream: rows for stream, rows in missing.items() if rows}

    def prune(self) -> None:
        """Forget epochs that hold nothing any more; done at opening, when nothing is named under any of them."""
        empty = [key for key, row in self.spans().items() if row.first_held > row.last]
        kept = {epoch for epoch, _ in self.tables.spans.keys() - set(empty)}
        old = [epoch.n for epoch_id, epoch in self.tables.epochs.items() if epoch_id not in kept]
        if not old:
            return
        with self._transaction(self._draft()):
            self._step("prune")
            keys = json.dumps(old)
            self._db.execute("DELETE FROM span WHERE epoch_n IN (SELECT value FROM json_each(?))", (keys,))
            self._db.execute("DELETE FROM epoch WHERE n IN (SELECT value FROM json_each(?))", (keys,))
        self.tables.epochs = {key: epoch for key, epoch in self.tables.epochs.items() if epoch.n not in old}
        self.tables.spans = {key: row for key, row in self.tables.spans.items() if key[0] in self.tables.epochs}

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, lane: int, *, after: int, limit_bytes: int) -> tuple[list[Held], list[Held]]:
        """Read the oldest batches of a lane after a key, up to `limit_bytes` but at least one.

        Returns:
            The good ones and the rotten ones (digest differs from the bytes), each oldest first.
        """
        good: list[Held] = []
        rotten: list[Held] = []
        self._step("read")
        cursor = self._db.execute(
            f"{_BATCH} {_FROM} WHERE b.id > ? AND b.id < ? AND b.parked IS NULL ORDER BY b.id",
            (max(after, lane << KEY_BITS), (lane + 1) << KEY_BITS),
        )
        for row in cursor:
            held = held_of(row)
            (good if is_whole(held) else rotten).append(held)
            limit_bytes -= held.size
            if limit_bytes <= 0:
                break
        cursor.close()
        return good, rotten

    def fetch(self, key: int) -> Held | None:
        """Read one batch that is not parked, as it lies there, whole or rotten."""
        self._step("read")
        row = self._db.execute(f"{_BATCH} {_FROM} WHERE b.id = ? AND b.parked IS NULL", (key,)).fetchone()
        return None if row is None else held_of(row)

    def count_parked(self) -> dict[str, int]:
        """How many batches are parked, by reason; by an index over these alone."""
        self._step("read")
        query = "SELECT parked, count(*) FROM batch WHERE parked IS NOT NULL GROUP BY parked"
        return dict(self._db.execute(query).fetchall())

    def next_parked(self, *, after: int, limit_bytes: int | None) -> Held | None:
        """The first parked batch above a key that is no larger than the limit, and not rotten."""
        self._step("read")
        query = (  # `+` keeps SQLite at the index over parked batches, away from walking all of them by id
            "SELECT min(+id) FROM batch WHERE parked IS NOT NULL AND parked != 'rot' AND +id > ? AND size <= ?"
        )
        key = one(self._db, query, after, limit_bytes or 1 << 62)
        row = None if key is None else self._db.execute(f"{_BATCH} {_FROM} WHERE b.id = ?", (key,)).fetchone()
        return None if row is None else held_of(row)

    def oldest(self, lane: int, *, after: int, limit: int) -> list[Victim]:
        """The oldest batches of a lane, without head and body."""
        self._step("victims")
        rows = self._db.execute(
            f"SELECT b.id, e.id, b.seq, b.rows, b.size, b.committed_ns, b.parked IS '{ROT}' {_FROM}"
            " WHERE b.id > ? AND b.id < ? ORDER BY b.id LIMIT ?",
            (max(after, lane << KEY_BITS), (lane + 1) << KEY_BITS, limit),
        ).fetchall()
        return [
            Victim(BatchName(epoch, lane, seq), key, count, size, at, bool(is_rotten))
            for key, epoch, seq, count, size, at, is_rotten in (
                _checked(row, int, bytes, int, int, int, int, int) for row in rows
            )
        ]

    def oldest_ns(self, lane: int) -> int | None:
        """When the oldest batch of a lane was committed."""
        found: int | None = one(
            self._db,
            "SELECT committed_ns FROM batch WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
            lane << KEY_BITS,
            (lane + 1) << KEY_BITS,
        )
        return found

    def spans(self) -> dict[tuple[bytes, int], Any]:
        """The spans as they are now."""
        self._step("spans")
        self.tables.spans = read_spans(self._db, self.tables.epochs)
        return self.tables.spans

    # --- room ------------------------------------------------------------------------------------------------------

    def live_bytes(self) -> int:
        """Bytes of pages that hold something."""
        self._step("size")
        pages = int(one(self._db, "PRAGMA page_count")) - int(one(self._db, "PRAGMA freelist_count"))
        return pages * PAGE_BYTES

    def file_bytes(self) -> int:
        """Bytes of all pages, free ones too: what can be written without growing."""
        return int(one(self._db, "PRAGMA page_count")) * PAGE_BYTES

    def wal_bytes(self) -> int:
        """Bytes of the WAL file."""
        with suppress(FileNotFoundError):
            return Path(f"{self.path}-wal").stat().st_size
        return 0

    def checkpoint(self, mode: str) -> None:
        """Copy the WAL into the file: PASSIVE while running, TRUNCATE at start and stop."""
        self._step("checkpoint")
        ((_, frames, copied),) = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        self._is_wal_new = frames == copied  # then the next commit begins the WAL anew

    def vacuum(self) -> None:
        """Give free pages back to the file system."""
        self._step("vacuum")
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        """Close the connection; a kill leaves the same content."""
        try:
            self._step("close")
        finally:
            self._db.close()


def held_of(row: Row) -> Held:
    """A batch from the columns of `_BATCH`.

    Raises:
        Nonsense: they do not hold what they must.
    """
    row = _checked(row, int, bytes, int, str, int, bytes, bytes, bytes, int)
    key, epoch, seq, stream, rows, digested, head, body, committed_ns = row
    return Held(BatchName(epoch, key >> KEY_BITS, seq), key, stream, rows, digested, head, body, committed_ns)


def _checked(row: Row, *kinds: type) -> Row:
    """A row of the table `batch`, whose first column is its key."""
    if not is_sound(row, *kinds):
        raise Nonsense(f"the row of batch {row[0]!r:.50} is damaged")
    return row


def is_whole(held: Held) -> bool:
    """Tell whether a batch's bytes are those that its digest was made of.

    Raises:
        Nonsense: they are, but its head names another batch than its row does.
    """
    if digest(held.head, held.body) != held.digest:
        return False
    if not _is_named_in_head(held):
        raise Nonsense(f"the row of batch {held.key} is damaged")
    return True


def _is_named_in_head(held: Held) -> bool:
    """Look for the bytes that our own encoder makes of these five, 1 µs; read the head only where they are not there."""
    (epoch, lane, seq), stream, rows = held.name, held.stream, held.rows
    fields = {"stream": stream, "lane": lane, "epoch": epoch, "seq": seq, "rows": rows}
    if msgspec.msgpack.encode(fields)[1:] in held.head:
        return True
    try:
        head = decode_head(held.head)
    except Refused:
        return False
    return (head.name, head.stream, head.rows) == (held.name, stream, rows)
