"""Intake: from rows to sealed batches, and the moment at which they are committed.

    Sink.put ──encode──► open batch of (stream, lane) ──2,500 rows or 512 KiB──► sealed ──► buffer.seal (compresses)
                                                     └─200 ms (urgent: 50 ms)──► sealed ──► buffer.commit (durable)

Invariants:
- A put never blocks and never raises; the tuples are not kept.
- A mark is committed with, never before, all rows put before it: a commit that carries marks takes every open batch.
- The bytes not yet committed are bounded. `drain` returns below half of the bound, so a put after a drain finds room;
  a put beyond the bound is dropped and counted (`intake-full`), in the account too.
- One commit is under way at a time: a slow disk makes commits larger, not more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from agent.buffer import Buffer, Held, Sealed
from agent.encode import encode_rows
from agent.tally import Tally
from agent.taps import Tap
from collectors.sink import Lane, Stream

LIMIT_BYTES: Final = 32 << 20
BATCH_ROWS: Final = 2_500
BATCH_BYTES: Final = 512 << 10
URGENT_SECONDS: Final = 0.05
CONNECTED_SECONDS: Final = 0.2
ALONE_SECONDS: Final = 1.0  # nobody waits for the rows, so fewer and larger commits spare the disk
_ARRAY_32: Final = 0xDD  # MessagePack: array with a length of four bytes


class _Open:
    """One open batch: encoded pieces, and what its head will say of them."""

    __slots__ = ("first_ns", "last_ns", "pieces", "rows", "size", "stream")

    def __init__(self, stream: Stream, received_ns: int) -> None:
        self.stream = stream
        self.pieces: list[bytes] = []
        self.rows = 0
        self.size = 0
        self.first_ns = received_ns
        self.last_ns = received_ns

    def seal(self, lane: int) -> Sealed:
        header = bytes((_ARRAY_32,)) + self.rows.to_bytes(4, "big")
        return Sealed(
            stream=self.stream.name,
            columns=self.stream.columns,
            lane=lane,
            rows=self.rows,
            body=header + b"".join(self.pieces),
            first_ns=self.first_ns,
            last_ns=self.last_ns,
        )


class Connected(Protocol):
    """Who knows whether anybody waits for the rows (the forwarder)."""

    @property
    def is_connected(self) -> bool:
        """Whether a broker is connected right now."""


class Intake:
    """Owns the open batches and the commit's clock. One per agent, on the loop."""

    def __init__(self, buffer: Buffer, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._buffer = buffer
        self._limit_bytes = limit_bytes
        self.link: Connected | None = None
        self._open: dict[tuple[str, int], _Open] = {}
        self._marks: dict[tuple[str, str], bytes] = {}
        self._tallies: dict[str, Tally] = {}
        self._taps: list[Tap] = []
        self._sealed_bytes = 0  # sealed, not yet handed to a commit
        self._pending_bytes = 0  # everything put and not yet committed
        self._room = asyncio.Event()
        self._room.set()
        self._urgent_at: float | None = None  # loop times at which open batches are due; None: nothing to write
        self._group_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._commit: asyncio.Future[list[Held]] | None = None
        self.on_named: list[
            Callable[[Sequence[Held]], None]
        ] = []  # told of batches as they are named, before they leave

    def sink(self, collector: str) -> "CollectorSink":
        """The sink of one collector; its counts last as long as the agent."""
        return CollectorSink(self, collector, self._tallies.setdefault(collector, Tally()))

    def facts(self) -> dict[str, dict[str, Any]]:
        """What each collector has put and lost, by collector name."""
        return {name: tally.facts() for name, tally in self._tallies.items()}

    @property
    def pending_bytes(self) -> int:
        """Encoded bytes put and not yet committed."""
        return self._pending_bytes

    def subscribe(self, stream: str | None = None) -> Tap:
        """Open a tap on the rows of one stream, or of all."""
        tap = Tap(stream)
        self._taps.append(tap)
        return tap

    def unsubscribe(self, tap: Tap) -> None:
        """Close a tap."""
        self._taps.remove(tap)

    def marks(self, collector: str) -> Mapping[str, bytes]:
        """The committed marks of one collector."""
        return self._buffer.marks(collector)

    async def drain(self) -> None:
        """Return when at most half of the bound is taken."""
        while self._pending_bytes > self._limit_bytes // 2:
            self._room.clear()
            await self._room.wait()

    def take(self, tally: Tally, stream: Stream, rows: Sequence[tuple[Any, ...]], *, lane: int) -> None:
        """Encode rows into the open batch of (stream, lane)."""
        if self._pending_bytes > self._limit_bytes:
            tally.drops["intake-full"] += len(rows)
            self._buffer.count(stream.name, "dropped:intake-full", len(rows))
            return
        size = 0
        for piece in encode_rows(rows):
            size += len(piece.data)
            self._append(stream, lane, piece.data, rows=piece.rows, received_ns=(rows[0][1], rows[-1][1]))
        tally.of(stream).add(rows, size=size)
        if self._taps:
            for tap in self._taps:
                tap.offer(stream, rows, size=size)
        self._arm(lane)

    def mark(self, collector: str, mark: tuple[str, bytes]) -> None:
        """Note a position, to be committed together with all rows put so far."""
        self._marks[(collector, mark[0])] = mark[1]
        self._arm(Lane.NORMAL)

    def _append(self, stream: Stream, lane: int, data: bytes, *, rows: int, received_ns: tuple[int, int]) -> None:
        batch = self._open.get((stream.name, lane))
        if batch is None:
            batch = self._open[(stream.name, lane)] = _Open(stream, received_ns[0])
        batch.pieces.append(data)
        batch.rows += rows
        batch.size += len(data)
        batch.last_ns = received_ns[1]
        self._pending_bytes += len(data)
        if batch.rows >= BATCH_ROWS or batch.size >= BATCH_BYTES:
            self._seal((stream.name, lane))

    def _seal(self, key: tuple[str, int]) -> None:
        batch = self._open.pop(key)
        self._sealed_bytes += batch.size
        self._buffer.seal(batch.seal(int(key[1])))

    def _arm(self, lane: int) -> None:
        """Set the time at which the open batches are due; while nothing is open no timer runs."""
        loop = asyncio.get_running_loop()
        if lane == Lane.URGENT and self._urgent_at is None:
            self._urgent_at = loop.time() + URGENT_SECONDS
        elif lane != Lane.URGENT and self._group_at is None:
            alone = self.link is not None and not self.link.is_connected
            self._group_at = loop.time() + (ALONE_SECONDS if alone else CONNECTED_SECONDS)
        else:
            return
        self._schedule()

    def _schedule(self) -> None:
        """Let the timer run to the earlier of the two times, unless a commit is under way: its end calls again."""
        due = min((at for at in (self._urgent_at, self._group_at) if at is not None), default=None)
        if due is None or self._commit is not None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._start_commit(whole=bool(self._marks) or (self._group_at is not None and self._group_at <= now))

    def _start_commit(self, *, whole: bool) -> None:
        for key in list(self._open):
            if whole or key[1] == Lane.URGENT:
                self._seal(key)
        self._urgent_at = None
        marks: dict[tuple[str, str], bytes] = {}
        if whole:
            self._group_at = None
            marks, self._marks = self._marks, marks
        size, self._sealed_bytes = self._sealed_bytes, 0
        self._commit = self._buffer.commit(marks)
        self._commit.add_done_callback(lambda future: self._committed(future, size))

    def _committed(self, future: asyncio.Future[list[Held]], size: int) -> None:
        self._commit = None
        self._pending_bytes -= size
        if self._pending_bytes <= self._limit_bytes // 2:
            self._room.set()
        if not future.cancelled() and future.exception() is None:
            for tell in tuple(self.on_named):
                tell(future.result())
            self._schedule()  # else a bug of the writer: `Buffer.failed` ends the process

    async def close(self) -> None:
        """Commit everything that was put, marks included, and return when it is durable."""
        await self._committed_all()
        self._start_commit(whole=True)
        await self._committed_all()
        if self._timer is not None:
            self._timer.cancel()

    async def _committed_all(self) -> None:
        while self._commit is not None:
            await asyncio.wait([self._commit])


class CollectorSink:
    """The `Sink` of one collector: intake behind it, its own counts before it."""

    def __init__(self, intake: Intake, collector: str, tally: Tally) -> None:
        self._intake = intake
        self._collector = collector
        self._tally = tally

    def put(
        self,
        stream: Stream,
        rows: Sequence[tuple[Any, ...]],
        *,
        lane: Lane = Lane.NORMAL,
        mark: tuple[str, bytes] | None = None,
    ) -> None:
        """Encode rows at once into the open batch of (stream, lane); see `collectors.sink.Sink`."""
        if rows:
            self._intake.take(self._tally, stream, rows, lane=lane)
        if mark is not None:
            self._intake.mark(self._collector, mark)

    async def drain(self) -> None:
        """Return when there is room."""
        await self._intake.drain()

    def marks(self) -> Mapping[str, bytes]:
        """This collector's committed marks."""
        return self._intake.marks(self._collector)

    def count(self, reason: str, rows: int = 1) -> None:
        """Count a loss or a refusal that never became a row."""
        self._tally.drops[reason] += rows

    def report(self, **facts: object) -> None:
        """Replace by key what status shows for this collector."""
        self._tally.report.update(facts)
