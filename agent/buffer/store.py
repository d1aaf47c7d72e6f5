"""The file: schema, transactions, eviction. Synchronous; used by the writer thread alone.

A commit is one transaction of at most eight SQLite calls, however many rows it carries. Keys are `lane << 48 | n`:
one B-tree is three queues, each lane's oldest first, without a second index. Opening reads a handful of rows,
whatever the backlog.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from agent.buffer.rows import KEY_BITS, SHARES, Changes, Held, Origin
from wire.batch import digest
from wire.names import BatchName

FORMAT: Final = 1
APPLICATION_ID: Final = 0x65646770  # "edgp"
WAL_BYTES: Final = 4 << 20  # checkpoint above it
EPOCHS_KEPT: Final = 64
_EVICT_BATCHES: Final = 256

_PRAGMAS: Final = (
    "page_size=4096",
    "auto_vacuum=INCREMENTAL",  # before the first table: evicted pages can be given back
    "locking_mode=EXCLUSIVE",  # no shared memory file, no second connection
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=OFF",  # Debian's default ON doubles the writes of a delete
    "wal_autocheckpoint=0",  # ours, above WAL_BYTES, outside the commit
    "journal_size_limit=8388608",
    "cache_size=-2048",
    "mmap_size=0",
    "trusted_schema=OFF",
)
_SCHEMA: Final = """
CREATE TABLE epoch(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, opened_ns INTEGER NOT NULL, boot BLOB NOT NULL);
CREATE TABLE span(epoch_n INTEGER, lane INTEGER, first_held INTEGER NOT NULL, last INTEGER NOT NULL,
                  PRIMARY KEY(epoch_n, lane)) WITHOUT ROWID;
CREATE TABLE lane(lane INTEGER PRIMARY KEY, next INTEGER NOT NULL, batches INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE account(origin TEXT, stream TEXT, what TEXT, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
                     PRIMARY KEY(origin, stream, what)) WITHOUT ROWID;
CREATE TABLE mark(collector TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY(collector, key)) WITHOUT ROWID;
CREATE TABLE batch(id INTEGER PRIMARY KEY, epoch_n INTEGER NOT NULL, seq INTEGER NOT NULL, parked INTEGER NOT NULL,
                   stream TEXT NOT NULL, rows INTEGER NOT NULL, committed_ns INTEGER NOT NULL, digest BLOB NOT NULL,
                   head BLOB NOT NULL, body BLOB NOT NULL);
INSERT INTO lane VALUES (0, 1, 0, 0), (1, 1, 0, 0), (2, 1, 0, 0);
"""
_BATCH: Final = "SELECT b.id, e.id, b.seq, b.stream, b.rows, b.digest, b.head, b.body, b.committed_ns"
_FROM: Final = "FROM batch b JOIN epoch e ON e.n = b.epoch_n"


class NewerFormat(Exception):
    """The file was written by a later edgepost."""


class Store:
    """The one connection to the one file."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path = path
        self._origin = origin
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        version = self._one("PRAGMA user_version")
        if version > FORMAT:
            raise NewerFormat(f"{self.path} has format {version}; this edgepost reads up to {FORMAT}")
        if version == 0:
            self._db.executescript(
                f"BEGIN EXCLUSIVE;{_SCHEMA}PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={FORMAT};COMMIT"
            )
        self.checkpoint("TRUNCATE")
        self.next, self.batches, self.bytes = (list(column) for column in zip(*self._lanes(), strict=True))
        self.epochs: dict[bytes, int] = dict(self._db.execute("SELECT id, n FROM epoch"))
        self.last: dict[tuple[bytes, int], int] = {
            (epoch, lane): last
            for epoch, lane, last in self._db.execute(
                "SELECT e.id, s.lane, s.last FROM span s JOIN epoch e ON e.n = s.epoch_n"
            )
        }
        self.accounts: Counter[tuple[str, str, str]] = Counter()
        self.account_bytes: Counter[tuple[str, str, str]] = Counter()
        for origin, stream, what, rows, size in self._db.execute("SELECT * FROM account"):
            self.accounts[origin, stream, what] = rows
            self.account_bytes[origin, stream, what] = size
        self.marks: dict[tuple[str, str], bytes] = {
            (collector, key): value for collector, key, value in self._db.execute("SELECT * FROM mark")
        }

    def _lanes(self) -> list[tuple[int, int, int]]:
        return self._db.execute("SELECT next, batches, bytes FROM lane ORDER BY lane").fetchall()

    def _one(self, query: str, *values: Any) -> Any:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    # --- one transaction -------------------------------------------------------------------------------------------

    def append(self, new: Sequence[Held], changes: Changes) -> None:
        """Commit named batches, ends of custody, marks and counts together.

        Raises:
            sqlite3.Error: nothing of it has happened.
        """
        execute, many = self._db.execute, self._db.executemany
        moves, account = self._sum_up(new, changes)
        execute("BEGIN IMMEDIATE")
        try:
            self._add_epochs(new)
            if new:
                many("INSERT INTO batch VALUES (?,?,?,0,?,?,?,?,?,?)", map(self._row, new))
                many(
                    "INSERT INTO span VALUES (?,?,1,?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
                    [(self.epochs[held.name.epoch], held.name.lane, held.name.seq) for held in _latest(new)],
                )
            if changes.done:
                many("DELETE FROM batch WHERE id = ?", [(done.held.key,) for done in changes.done])
            if changes.parked:
                many("UPDATE batch SET parked = 1 WHERE id = ?", [(key,) for key in changes.parked])
            if moves:
                many(
                    "UPDATE lane SET next = max(next, ?), batches = batches + ?, bytes = bytes + ? WHERE lane = ?",
                    moves,
                )
            if account:
                many(
                    "INSERT INTO account VALUES (?,?,?,?,?)"
                    " ON CONFLICT DO UPDATE SET rows = rows + excluded.rows, bytes = bytes + excluded.bytes",
                    account,
                )
            if changes.marks:
                many("INSERT OR REPLACE INTO mark VALUES (?,?,?)", [(*key, at) for key, at in changes.marks.items()])
            execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise
        self._note(new, changes, moves=moves, account=account)

    def _row(self, held: Held) -> tuple[Any, ...]:
        epoch_n = self.epochs[held.name.epoch]
        return (
            held.key,
            epoch_n,
            held.name.seq,
            held.stream,
            held.rows,
            held.committed_ns,
            held.digest,
            held.head,
            held.body,
        )

    def _add_epochs(self, new: Iterable[Held]) -> None:
        for epoch in {held.name.epoch for held in new} - self.epochs.keys():
            added = self._db.execute(
                "INSERT INTO epoch(id, opened_ns, boot) VALUES (?,?,?) ON CONFLICT DO UPDATE SET boot = boot RETURNING n",
                (epoch, time.time_ns(), self._origin.boot),
            ).fetchone()
            self.epochs[epoch] = int(added[0])

    def _sum_up(
        self, new: Sequence[Held], changes: Changes
    ) -> tuple[list[tuple[int, int, int, int]], list[tuple[str, str, str, int, int]]]:
        next_key, batches, size = [0, 0, 0], [0, 0, 0], [0, 0, 0]
        account: dict[tuple[str, str], list[int]] = {}
        for held, sign, what in [
            *((held, 1, "received") for held in new),
            *((done.held, -1, done.what) for done in changes.done),
        ]:
            lane = held.name.lane
            batches[lane] += sign
            size[lane] += sign * held.size
            if sign > 0:
                next_key[lane] = max(next_key[lane], (held.key & ((1 << KEY_BITS) - 1)) + 1)
            sums = account.setdefault((held.stream, what), [0, 0])
            sums[0] += held.rows
            sums[1] += held.size
        for stream, what, rows in changes.counts:
            account.setdefault((stream, what), [0, 0])[0] += rows
        moves = [
            (next_key[lane], batches[lane], size[lane], lane)
            for lane in range(3)
            if batches[lane] or size[lane] or next_key[lane]
        ]
        return moves, [(self._origin.agent, *key, *sums) for key, sums in account.items()]

    def _note(
        self,
        new: Sequence[Held],
        changes: Changes,
        *,
        moves: list[tuple[int, int, int, int]],
        account: list[tuple[str, str, str, int, int]],
    ) -> None:
        """Follow in memory what the transaction did, once it is committed."""
        for next_key, batches, size, lane in moves:
            self.next[lane] = max(self.next[lane], next_key)
            self.batches[lane] += batches
            self.bytes[lane] += size
        for held in _latest(new):
            key = (held.name.epoch, held.name.lane)
            self.last[key] = max(self.last.get(key, 0), held.name.seq)
        for origin, stream, what, rows, size in account:
            self.accounts[origin, stream, what] += rows
            self.account_bytes[origin, stream, what] += size
        self.marks.update(changes.marks)

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, lane: int, *, after: int, limit_bytes: int) -> tuple[list[Held], list[Held]]:
        """Read the oldest batches of a lane after a key, up to `limit_bytes` but at least one.

        Returns:
            The good ones and the rotten ones (digest differs from the bytes), each oldest first.
        """
        good: list[Held] = []
        rotten: list[Held] = []
        cursor = self._db.execute(
            f"{_BATCH} {_FROM} WHERE b.id > ? AND b.id < ? AND b.parked = 0 ORDER BY b.id",
            (max(after, lane << KEY_BITS), (lane + 1) << KEY_BITS),
        )
        for row in cursor:
            held = _held(row)
            (good if digest(held.head, held.body) == held.digest else rotten).append(held)
            limit_bytes -= held.size
            if limit_bytes <= 0:
                break
        cursor.close()
        return good, rotten

    def fetch(self, key: int) -> Held | None:
        """Read one batch; None if it is gone or rotten."""
        row = self._db.execute(f"{_BATCH} {_FROM} WHERE b.id = ?", (key,)).fetchone()
        held = None if row is None else _held(row)
        return held if held is not None and digest(held.head, held.body) == held.digest else None

    def first_held(self) -> dict[tuple[bytes, int], int]:
        """For each span the first seq that is still held; last + 1 where none is."""
        firsts = {key: last + 1 for key, last in self.last.items()}
        for lane in range(3):
            oldest = self._db.execute(
                f"SELECT e.id, b.seq, e.n {_FROM} WHERE b.id > ? ORDER BY b.id LIMIT 1", (lane << KEY_BITS,)
            ).fetchone()
            if oldest is None:
                continue
            for epoch, key_lane in firsts:
                if key_lane == lane and self.epochs[epoch] > oldest[2]:
                    firsts[epoch, lane] = 1
            firsts[oldest[0], lane] = oldest[1]
        return firsts

    def oldest_ns(self, lane: int) -> int | None:
        """When the oldest batch of a lane was committed."""
        found: int | None = self._one(
            "SELECT committed_ns FROM batch WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
            lane << KEY_BITS,
            (lane + 1) << KEY_BITS,
        )
        return found

    # --- room ------------------------------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Bytes of live pages and of the WAL."""
        pages = int(self._one("PRAGMA page_count")) - int(self._one("PRAGMA freelist_count"))
        return pages * 4096 + self.wal_bytes()

    def wal_bytes(self) -> int:
        """Bytes of the WAL file."""
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, mode: str) -> None:
        """Copy the WAL into the file: PASSIVE while running, TRUNCATE at start and stop."""
        self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def vacuum(self) -> None:
        """Give free pages back to the file system."""
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def victims(self, needed: int, *, limit_bytes: int, in_flight: Container[int]) -> list[Held]:
        """Choose what to evict: the oldest of the lowest lane above its guaranteed share, never what is in flight.

        Bodies are left out: what is evicted is only declared.
        """
        for lane in (2, 1, 0):
            spare = self.bytes[lane] - SHARES[lane] * limit_bytes
            if spare <= 0:
                continue
            chosen = []
            for row in self._db.execute(
                f"SELECT b.id, e.id, b.seq, b.stream, b.rows, b.digest, b.head, zeroblob(length(b.body)), b.committed_ns"
                f" {_FROM} WHERE b.id > ? AND b.id < ? ORDER BY b.id LIMIT ?",
                (lane << KEY_BITS, (lane + 1) << KEY_BITS, _EVICT_BATCHES),
            ).fetchall():
                held = _held(row)
                if held.key in in_flight:
                    continue
                chosen.append(held)
                needed -= held.size
                spare -= held.size
                if needed <= 0 or spare <= 0:
                    break
            if chosen:
                return chosen
        return []

    def prune_epochs(self) -> None:
        """Forget the spans of old epochs that hold nothing any more."""
        if len(self.epochs) <= EPOCHS_KEPT:
            return
        firsts = self.first_held()
        for epoch, n in sorted(self.epochs.items(), key=lambda item: item[1])[:-EPOCHS_KEPT]:
            lanes = [lane for lane in range(3) if (epoch, lane) in self.last]
            if all(firsts[epoch, lane] > self.last[epoch, lane] for lane in lanes):
                self._db.execute("DELETE FROM span WHERE epoch_n = ?", (n,))
                self._db.execute(
                    "DELETE FROM epoch WHERE n = ? AND NOT EXISTS (SELECT 1 FROM batch WHERE epoch_n = ?)", (n, n)
                )
                del self.epochs[epoch]
                for lane in lanes:
                    del self.last[epoch, lane]

    def close(self) -> None:
        """Close the connection; a kill leaves the same content."""
        self._db.close()


def _held(row: tuple[Any, ...]) -> Held:
    key, epoch, seq, stream, rows, digested, head, body, committed_ns = row
    return Held(BatchName(epoch, key >> KEY_BITS, seq), key, stream, rows, digested, head, body, committed_ns)


def _latest(new: Sequence[Held]) -> list[Held]:
    """The last batch of each (epoch, lane) among the new ones: seq only grows."""
    latest: dict[tuple[bytes, int], Held] = {}
    for held in new:
        latest[held.name.epoch, held.name.lane] = held
    return list(latest.values())


