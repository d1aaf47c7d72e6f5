"""The writer thread: one request after the other, on the only connection.

    seal    compress now, so that memory holds 22 bytes a row and not 155
    commit  name what was sealed, digest it, one transaction; on a failing disk hold it in memory instead
    call    anything else that reads or changes the store

An error of the disk is a state (`faults.py`). Any other exception is a bug: it ends the thread, `failed` carries it
to `agent/run.py`, and the process ends with 70.
"""

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack
import msgspec

from agent import clock, events
from agent.buffer.faults import Fault, fault_of
from agent.buffer.memory import MemoryHold
from agent.buffer.rows import KEY_BITS, BufferSettings, Changes, Done, Held, Origin, Sealed
from agent.buffer.store import WAL_BYTES, Store
from agent.encode import shrink_row
from wire.batch import Head, compress, digest, encode_head
from wire.names import EPOCH_BYTES, LANES, BatchName

RESERVE_BYTES: Final = 16 << 20
KEEP_FREE_BYTES: Final = 64 << 20
REOPEN_SECONDS: Final = 10.0
ROOM_SECONDS: Final = 1.0  # how often the room on the disk is looked at while there are commits
_ARRAY_32: Final = 0xDD


class Packed:
    """A sealed batch, compressed, still without a name."""

    __slots__ = ("body", "sealed")

    def __init__(self, sealed: Sealed, body: bytes) -> None:
        self.sealed = sealed
        self.body = body


class Writer:
    """Owns the store. `start` runs the thread; requests go through `send` from any thread."""

    def __init__(self, folder: Path, *, origin: Origin, settings: BufferSettings, in_flight: Container[int]) -> None:
        self._folder = folder
        self._origin = origin
        self._settings = settings
        self._in_flight = in_flight
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._packed: list[Packed] = []
        self._thread = threading.Thread(target=self._run, name="buffer-writer", daemon=True)
        self._later: list[Done] = []  # ends of custody of batches on a disk that is away
        self._next_reopen = 0.0
        self._next_room = 0.0
        self._next = [1, 1, 1]
        self.epoch = os.urandom(EPOCH_BYTES)
        self.seqs = [0, 0, 0]
        self.store: Store | None = None
        self.memory: MemoryHold | None = None
        self.fault: Fault | None = None
        self.limit_bytes = settings.limit_bytes
        self.used_bytes = 0
        self.disk_free_bytes = 0
        self.pulse_ns = time.monotonic_ns()
        self.on_failed: Callable[[BaseException], None] = lambda _: None
        self.on_evicted: Callable[[list[int]], None] = lambda _: None

    def start(self) -> None:
        """Run the thread."""
        self._thread.start()

    def send(self, request: Callable[[], None] | None) -> None:
        """Queue a request; None ends the thread."""
        self._requests.put(request)

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                request = self._requests.get()
                if request is None:
                    return
                request()
                self.pulse_ns = time.monotonic_ns()
        except BaseException as bug:  # noqa: BLE001 - not handled here: carried to the loop, which ends the process with 70
            self.on_failed(bug)

    # --- opening ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The store's file."""
        return self._folder / "buffer.db"

    def open(self) -> None:
        """Open the store under a new epoch, or begin in memory with the reason as a state."""
        self._next_reopen = time.monotonic() + REOPEN_SECONDS
        try:
            self.store = Store(self.path, self._origin)
            self._next = [max(ours, theirs) for ours, theirs in zip(self._next, self.store.next, strict=True)]
            self.epoch, self.seqs = os.urandom(EPOCH_BYTES), [0, 0, 0]
            self._keep_reserve()
            self.fault = None
        except (sqlite3.Error, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Go over to memory; an error that is no state of the disk is raised again."""
        fault = fault_of(error)
        if fault is None:
            raise error
        if self.store is not None:
            self.store.close()
            self.store = None
        if fault.state == "corrupt":
            self._set_aside()
        self.fault = fault
        self._next_reopen = time.monotonic() + (0 if fault.state == "corrupt" else REOPEN_SECONDS)
        if self.memory is None:
            self.memory = MemoryHold(self._settings.memory_bytes)

    def _set_aside(self) -> None:
        """Move a damaged file out of the way, never delete it: its batches may still be salvaged."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for suffix in ("", "-wal"):
            source = Path(f"{self.path}{suffix}")
            if source.exists():
                source.rename(self._folder / f"buffer-{stamp}-{time.monotonic_ns()}.corrupt{suffix}")

    def _keep_reserve(self) -> None:
        """Keep 16 MiB beside the store: a full disk fails DELETE and checkpoint too, unless there is room to give."""
        reserve = self._folder / "reserve"
        if reserve.exists() and reserve.stat().st_size >= RESERVE_BYTES:
            return
        try:
            descriptor = os.open(reserve, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            os.ftruncate(descriptor, 0)  # no room for it now; tried again when room is looked at
        finally:
            os.close(descriptor)

    # --- sealing ---------------------------------------------------------------------------------------------------

    def seal(self, sealed: Sealed) -> None:
        """Compress a sealed batch; one that is larger than a message is halved by rows before it is named."""
        body = compress(sealed.body)
        if len(body) <= self._settings.message_bytes:
            self._packed.append(Packed(sealed, body))
        elif sealed.rows > 1:
            for half in _halves(sealed):
                self.seal(half)
        else:
            row = shrink_row(sealed.columns, sealed.body[5:], fits=self._fits)
            self._packed.append(Packed(sealed, compress(sealed.body[:5] + row)))

    def _fits(self, row: bytes) -> bool:
        return len(compress(row)) <= self._settings.message_bytes - 16

    # --- committing ------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> list[Held]:
        """Make everything sealed so far durable, or hold it in memory; give what was named."""
        self._reopen_when_due()
        packed, self._packed = self._packed, []
        if self.store is not None:
            new = self._name(packed, self.epoch, self.seqs)
            try:
                self._append(new, changes)
                self._look_for_room()
            except (sqlite3.Error, OSError) as error:
                if not self._mended(error, new, changes):
                    self._fail(error)
                    return self._hold(packed, changes)
            return new
        return self._hold(packed, changes)

    def _append(self, new: Sequence[Held], changes: Changes) -> None:
        assert self.store is not None
        if not (new or changes.done or changes.parked or changes.counts or changes.marks):
            return
        self.store.append(new, changes)
        for held in new:
            self.seqs[held.name.lane] = held.name.seq
            self._next[held.name.lane] = (held.key & ((1 << KEY_BITS) - 1)) + 1

    def _name(self, packed: Sequence[Packed], epoch: bytes, seqs: Sequence[int]) -> list[Held]:
        """Name batches: seq is the last one of its span plus one; nothing is spent before the transaction holds."""
        now, mono_ns, state = time.time_ns(), clock.since_boot_ns(), clock.clock_state()
        seq, key = list(seqs), list(self._next)
        named = []
        for one in packed:
            sealed, lane = one.sealed, one.sealed.lane
            seq[lane] += 1
            head = encode_head(
                Head(
                    agent=self._origin.agent,
                    site=self._origin.site,
                    stream=sealed.stream,
                    lane=lane,
                    epoch=epoch,
                    seq=seq[lane],
                    rows=sealed.rows,
                    columns=sealed.columns,
                    first_ns=sealed.first_ns,
                    last_ns=sealed.last_ns,
                    boot=self._origin.boot,
                    mono_ns=mono_ns,
                    clock=state,
                )
            )
            name = BatchName(epoch, lane, seq[lane])
            store_key = lane << KEY_BITS | key[lane]
            key[lane] += 1
            named.append(
                Held(name, store_key, sealed.stream, sealed.rows, digest(head, one.body), head, one.body, now)
            )
        return named

    # --- without a disk --------------------------------------------------------------------------------------------

    def _hold(self, packed: Sequence[Packed], changes: Changes) -> list[Held]:
        """Hold batches in memory; marks stay uncommitted, so their sources are read again."""
        if self.memory is None:
            self.memory = MemoryHold(self._settings.memory_bytes)
        memory = self.memory
        new = self._name(packed, memory.epoch, memory.seqs)
        gone: list[Held] = []
        for held in new:
            memory.seqs[held.name.lane] = held.name.seq
            self._next[held.name.lane] = (held.key & ((1 << KEY_BITS) - 1)) + 1
            gone += memory.add(held)
        self._later.extend(done for done in changes.done if not memory.end(done.held.key, done.what))
        for stream, what, rows in changes.counts:
            memory.counts[stream, what] += rows
        if gone:
            self._declare(gone, "memory-full")
            self.on_evicted([held.key for held in gone])
        return new

    def _reopen_when_due(self) -> None:
        if self.store is not None or time.monotonic() < self._next_reopen:
            return
        self.open()
        if self.store is None:
            return
        memory, self.memory = self.memory, None
        if memory is None:
            return
        counts = [(stream, what, rows) for (stream, what), rows in memory.counts.items()]
        later, self._later = self._later, []
        try:
            self.store.append(sorted(memory.held.values(), key=lambda held: held.key), Changes(done=later, counts=counts))
            self._next = [max(ours, theirs) for ours, theirs in zip(self._next, self.store.next, strict=True)]
        except (sqlite3.Error, OSError) as error:
            self.memory, self._later = memory, later
            self._fail(error)

    # --- room ------------------------------------------------------------------------------------------------------

    def _look_for_room(self) -> None:
        """Once a second at most: checkpoint, measure, evict above the limit, keep the reserve."""
        now = time.monotonic()
        if now < self._next_room or self.store is None:
            return
        self._next_room = now + ROOM_SECONDS
        if self.store.wal_bytes() > WAL_BYTES:
            self.store.checkpoint("PASSIVE")
        self.measure()
        while self.used_bytes > self.limit_bytes and self._evict(self.used_bytes - int(self.limit_bytes * 0.98)):
            self.used_bytes = self.store.used_bytes()
        self.store.prune_epochs()

    def measure(self) -> None:
        """Measure the store and the disk; with too little room left the buffer may not grow."""
        if self.store is None:
            return
        self.used_bytes = self.store.used_bytes()
        disk = os.statvfs(self._folder)
        self.disk_free_bytes = disk.f_bavail * disk.f_frsize
        keep = max(KEEP_FREE_BYTES, disk.f_blocks * disk.f_frsize * self._settings.keep_free_percent // 100)
        short = max(0, keep - self.disk_free_bytes)
        self.limit_bytes = max(4 << 20, min(self._settings.limit_bytes, self.used_bytes - short if short else 1 << 62))
        if not short:
            self._keep_reserve()

    def _evict(self, needed: int) -> bool:
        """Evict the oldest of the lowest lane above its share, declared in the same transaction."""
        assert self.store is not None
        victims = self.store.victims(needed, limit_bytes=self.limit_bytes, in_flight=self._in_flight)
        if not victims:
            return False
        reason = "limit" if self.limit_bytes >= self._settings.limit_bytes else "disk-full"
        self._declare(victims, reason)
        packed, self._packed = self._packed, []
        try:
            self._append(
                self._name(packed, self.epoch, self.seqs),
                Changes(done=[Done(held, f"dropped:evicted-{reason}") for held in victims]),
            )
        except BaseException:
            self._packed = packed
            raise
        self.on_evicted([held.key for held in victims])
        return True

    def _declare(self, lost: Sequence[Held], reason: str) -> None:
        """Put an urgent batch of the stream `agent` that names what is lost, one row per contiguous range."""
        rows = [_evicted_row(run, reason) for run in _runs(lost)]
        body = bytes((_ARRAY_32,)) + len(rows).to_bytes(4, "big") + b"".join(map(msgspec.msgpack.encode, rows))
        now = time.time_ns()
        self.seal(Sealed(events.AGENT.name, events.AGENT.columns, 0, len(rows), body, now, now))

    def _mended(self, error: Exception, new: Sequence[Held], changes: Changes) -> bool:
        """Give a full disk its reserve back and evict; True if the commit then held."""
        fault = fault_of(error)
        if fault is None or fault.state != "full" or self.store is None:
            return False
        packed, self._packed = self._packed, []
        try:
            (self._folder / "reserve").unlink(missing_ok=True)
            self.store.checkpoint("TRUNCATE")
            self.limit_bytes = max(4 << 20, self.store.used_bytes() * 9 // 10)
            self.store.append(new, changes)
            for held in new:
                self.seqs[held.name.lane] = held.name.seq
                self._next[held.name.lane] = (held.key & ((1 << KEY_BITS) - 1)) + 1
            self._evict(self.store.used_bytes() // 10)
            self.store.checkpoint("TRUNCATE")
            self.store.vacuum()
        except (sqlite3.Error, OSError):
            return False
        finally:
            self._packed = packed + self._packed
        return True


def _halves(sealed: Sealed) -> tuple[Sealed, Sealed]:
    """Cut a batch in two by rows, finding the border without decoding columns."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(sealed.body)
    rows = unpacker.read_array_header()
    first = rows // 2
    for _ in range(first):
        unpacker.skip()
    border = unpacker.tell()
    start = 5 if sealed.body[0] == _ARRAY_32 else 1 if rows < 16 else 3
    parts = ((first, sealed.body[start:border]), (rows - first, sealed.body[border:]))
    one, two = (
        Sealed(
            sealed.stream,
            sealed.columns,
            sealed.lane,
            count,
            bytes((_ARRAY_32,)) + count.to_bytes(4, "big") + data,
            sealed.first_ns,
            sealed.last_ns,
        )
        for count, data in parts
    )
    return one, two


def _runs(lost: Sequence[Held]) -> list[list[Held]]:
    """Group batches into contiguous ranges of one epoch, lane and stream."""
    runs: list[list[Held]] = []
    for held in sorted(lost, key=lambda one: (one.name.epoch, one.name.lane, one.name.seq)):
        last = runs[-1][-1] if runs else None
        if last is not None and last.name[:2] == held.name[:2] and last.name.seq + 1 == held.name.seq:
            runs[-1].append(held)
        else:
            runs.append([held])
    return runs


def _evicted_row(run: Sequence[Held], reason: str) -> tuple[Any, ...]:
    first, last, rows = run[0], run[-1], sum(held.rows for held in run)
    detail = {
        "epoch": first.name.epoch,
        "lane": LANES[first.name.lane],
        "first_seq": first.name.seq,
        "last_seq": last.name.seq,
        "rows": rows,
        "first_ns": first.committed_ns,
        "last_ns": last.committed_ns,
        "reason": reason,
    }
    text = f"{rows} rows of lane {LANES[first.name.lane]} were evicted: {reason}"
    return events.row("evicted", severity=events.ERROR, text=text, detail=detail)

