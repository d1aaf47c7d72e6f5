"""The buffer's facade on the loop: futures for commits, the newest batches in memory, and what status shows."""

import asyncio
import fcntl
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.buffer.faults import StateDirFailed, StoreHeld
from agent.buffer.rows import KEY_BITS, BufferSettings, Changes, Done, Held, Origin, Sealed
from agent.buffer.writer import Writer
from wire.names import LANES
from wire.state import Span

TAIL_BYTES: Final = 4 << 20
DISCARD_SECONDS: Final = 1.0
RATE_SECONDS: Final = 60.0
_CLEAN: Final = ("buffer", "clean")
_T = TypeVar("_T")


class _Tail:
    """The newest batches of one lane: every held batch from `since` on is here."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.held: dict[int, Held] = {}

    def shorten(self) -> int:
        """Give the oldest one up; return its bytes."""
        key = next(iter(self.held))
        self.since = key + 1
        return self.held.pop(key).size


class Buffer:
    """One per agent. Every method belongs to the loop; the disk belongs to the writer's thread."""

    def __init__(self, folder: Path, *, origin: Origin, settings: BufferSettings, in_flight: Container[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._folder = folder
        self._settings = settings
        self._origin = origin
        self._writer = Writer(folder, origin=origin, settings=settings, in_flight=in_flight)
        self._writer.on_failed = lambda bug: self._call_soon(self._fail, bug)
        self._writer.on_evicted = lambda keys: self._call_soon(self._forget, keys)
        self._tails = [_Tail(0), _Tail(0), _Tail(0)]
        self._tail_bytes = 0
        self._newest = [0, 0, 0]
        self._done: list[Done] = []
        self._parked: dict[int, str] = {}
        self._ending: set[int] = set()  # keys whose end of custody is not committed yet
        self._counts: list[tuple[str, str, int]] = []
        self._discard_timer: asyncio.TimerHandle | None = None
        self._commit_ms: deque[float] = deque(maxlen=100)
        self._committed: deque[tuple[float, int, int]] = deque()  # (monotonic, lane, bytes) of the last minute
        self._oldest_ns: list[int | None] = [None, None, None]
        self._lock_file = -1
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self.on_committed: Callable[[], None] = lambda: None
        self.on_evicted: Callable[[list[int]], None] = lambda _: None
        self.unclean_since_ns: int | None = None

    @classmethod
    async def open(
        cls, folder: Path, *, origin: Origin, settings: BufferSettings, in_flight: Container[int] = ()
    ) -> "Buffer":
        """Lock the state directory, open the store, start the writer.

        Raises:
            StoreHeld: another agent holds it.
            StateDirFailed: the directory cannot be made or entered. A failing disk is a state, not an error.
        """
        buffer = cls(folder, origin=origin, settings=settings, in_flight=in_flight)
        buffer._take_lock()
        writer = buffer._writer
        last_write_ns = _last_write_ns(writer.path)
        writer.start()
        await buffer._ask(writer.open)
        if writer.store is not None:
            clean = writer.store.marks.pop(_CLEAN, b"")
            if last_write_ns is not None and clean != b"1":
                buffer.unclean_since_ns = last_write_ns
            await buffer._ask(lambda: writer.commit(Changes(marks={_CLEAN: b"0"})))
            await buffer._ask(writer.measure)
            buffer._newest = [lane << KEY_BITS | (n - 1) for lane, n in enumerate(writer.store.next)]
        buffer._tails = [_Tail(key + 1) for key in buffer._newest]
        return buffer

    def _take_lock(self) -> None:
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock_file = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StateDirFailed(f"{self._folder}: {error.strerror}; make it, owned by the agent's user") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._lock_file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._lock_file)
            raise StoreHeld(f"{self._folder} is held by another agent (pid {holder})") from None
        os.ftruncate(self._lock_file, 0)
        os.write(self._lock_file, str(os.getpid()).encode())

    # --- between loop and thread -----------------------------------------------------------------------------------

    def _call_soon(self, call: Callable[..., None], *values: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *values)

    def _ask(self, work: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Run `work` on the writer's thread; the future belongs to the loop."""
        future: asyncio.Future[_T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as bug:
                self._call_soon(_settle, future, None, bug)
                raise
            self._call_soon(_settle, future, result, None)

        self._writer.send(run)
        return future

    def _fail(self, bug: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(bug)

    # --- writing ---------------------------------------------------------------------------------------------------

    def seal(self, sealed: Sealed) -> None:
        """Take a batch; it is compressed at once, and durable with the next commit."""
        writer = self._writer
        writer.send(lambda: writer.seal(sealed))

    def commit(self, marks: Mapping[tuple[str, str], bytes]) -> "asyncio.Future[list[Held]]":
        """Make all that was sealed so far durable, with these marks; the future gives what was named."""
        if self._discard_timer is not None:
            self._discard_timer.cancel()
            self._discard_timer = None
        changes = Changes(marks=marks, done=self._done, parked=tuple(self._parked), counts=self._counts)
        ending = [done.held.key for done in self._done]
        self._done, self._parked, self._counts = [], {}, []
        writer, started = self._writer, time.monotonic()
        future = self._ask(lambda: writer.commit(changes))
        future.add_done_callback(lambda done: self._note(done, started=started, ending=ending))
        return future

    def _note(self, future: "asyncio.Future[list[Held]]", *, started: float, ending: list[int]) -> None:
        self._ending.difference_update(ending)
        if future.cancelled() or future.exception() is not None:
            return
        new = future.result()
        now = time.monotonic()
        for held in new:
            lane = held.name.lane
            self._tails[lane].held[held.key] = held
            self._tail_bytes += held.size
            self._newest[lane] = max(self._newest[lane], held.key)
            self._committed.append((now, lane, held.size))
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= max((tail for tail in self._tails if tail.held), key=_weight).shorten()
        while self._committed and self._committed[0][0] < now - RATE_SECONDS:
            self._committed.popleft()
        if new:
            self._commit_ms.append((now - started) * 1000)
            self.on_committed()

    def discard(self, done: Iterable[Done]) -> None:
        """End the custody of batches; it rides on the next commit, or commits alone a second later."""
        for one in done:
            self._done.append(one)
            self._ending.add(one.held.key)
            self._drop_from_tail(one.held.key)
        self._commit_soon()

    def park(self, held: Held, reason: str) -> None:
        """Keep a batch but send it no more: it was lost alone three times, or refused twice."""
        self._parked[held.key] = reason
        self._ending.add(held.key)
        self._drop_from_tail(held.key)
        self._commit_soon()

    def count(self, stream: str, what: str, rows: int) -> None:
        """Account for rows that never became a batch, such as `dropped:intake-full`."""
        self._counts += [(stream, "received", rows), (stream, what, rows)]
        self._commit_soon()

    def _commit_soon(self) -> None:
        if self._discard_timer is None:
            self._discard_timer = self._loop.call_later(DISCARD_SECONDS, self._commit_alone)

    def _commit_alone(self) -> None:
        self._discard_timer = None
        self.commit({})

    def _drop_from_tail(self, key: int) -> None:
        held = self._tails[key >> KEY_BITS].held.pop(key, None)
        if held is not None:
            self._tail_bytes -= held.size

    def _forget(self, keys: list[int]) -> None:
        for key in keys:
            self._drop_from_tail(key)
        self.on_evicted(keys)

    async def draw_epoch(self) -> None:
        """Name all further batches under a new epoch: a name of ours was met with other bytes."""

        def draw() -> None:
            self._writer.epoch, self._writer.seqs = os.urandom(16), [0, 0, 0]

        await self._ask(draw)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def read(self, lane: int, *, after: int, limit_bytes: int) -> list[Held]:
        """Read batches of a lane with keys above `after`, oldest first, up to `limit_bytes` but at least one."""
        if after >= self._newest[lane]:
            return []
        tail = self._tails[lane]
        if after + 1 >= tail.since:
            return _take(tail.held, after=after, limit_bytes=limit_bytes)
        found = await self._ask(lambda: self._read(lane, after, limit_bytes))
        return [held for held in found if held.key not in self._ending]

    def _read(self, lane: int, after: int, limit_bytes: int) -> list[Held]:
        writer = self._writer
        if writer.memory is not None:
            held = {key: one for key, one in writer.memory.held.items() if one.name.lane == lane}
            return _take(held, after=after, limit_bytes=limit_bytes)
        if writer.store is None:
            return []
        good, rotten = writer.store.read(lane, after=after, limit_bytes=limit_bytes)
        if rotten:
            writer.store.append([], Changes(parked=[held.key for held in rotten]))
        return good or (self._read(lane, rotten[-1].key, limit_bytes) if rotten else [])

    async def fetch(self, key: int) -> Held | None:
        """Read one batch again from the disk; None if it is gone or rotten."""

        def fetch() -> Held | None:
            writer = self._writer
            if writer.memory is not None:
                return writer.memory.held.get(key)
            return None if writer.store is None else writer.store.fetch(key)

        return await self._ask(fetch)

    def marks(self, collector: str) -> dict[str, bytes]:
        """The committed marks of one collector."""
        store = self._writer.store
        return {} if store is None else {key: value for (name, key), value in store.marks.items() if name == collector}

    async def spans(self) -> tuple[Span, ...]:
        """What each epoch holds in each lane, for the state message; newest epochs last."""

        def spans() -> tuple[Span, ...]:
            store, memory = self._writer.store, self._writer.memory
            if memory is not None:
                seqs = [(memory.epoch, lane, last) for lane, last in enumerate(memory.seqs) if last]
                return tuple(Span(epoch, lane, 1, last) for epoch, lane, last in seqs)
            if store is None:
                return ()
            firsts = store.first_held()
            return tuple(Span(*key, firsts[key], last) for key, last in store.last.items())

        return await self._ask(spans)

    # --- facts -----------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> bytes:
        """The epoch under which batches are named now."""
        memory = self._writer.memory
        return memory.epoch if memory is not None else self._writer.epoch

    @property
    def pulse_ns(self) -> int:
        """When the writer last finished a request, monotonic."""
        return self._writer.pulse_ns

    def confirmed(self) -> dict[str, int]:
        """Rows confirmed per stream, as the account has them."""
        store = self._writer.store
        if store is None:
            return {}
        return {stream: rows for (_, stream, what), rows in dict(store.accounts).items() if what == "confirmed"}

    async def refresh(self) -> None:
        """Measure what only the thread may: sizes and ages. For status, before `facts`."""

        def measure() -> list[int | None]:
            self._writer.measure()
            store = self._writer.store
            return [None] * 3 if store is None else [store.oldest_ns(lane) for lane in range(3)]

        self._oldest_ns = await self._ask(measure)

    def facts(self) -> dict[str, Any]:
        """Everything status shows of the buffer; never blocks."""
        writer = self._writer
        store, memory, fault = writer.store, writer.memory, writer.fault
        account = [] if store is None else sorted(dict(store.accounts).items())
        sizes = {} if store is None else dict(store.account_bytes)
        return {
            "state": "ok" if fault is None else fault.state,
            "problem": None if fault is None else f"{fault.problem}: batches are held in memory only",
            "remedy": None if fault is None else fault.remedy,
            "path": str(writer.path),
            "limit_bytes": writer.limit_bytes,
            "used_bytes": writer.used_bytes,
            "disk_free_bytes": writer.disk_free_bytes,
            "epoch": self.epoch.hex(),
            "lanes": [self._lane_facts(lane) for lane in range(3)],
            "memory_batches": 0 if memory is None else len(memory.held),
            "memory_bytes": 0 if memory is None else memory.bytes,
            "commit_ms": {
                "median": statistics.median(self._commit_ms) if self._commit_ms else None,
                "max": max(self._commit_ms, default=None),
            },
            "account": [
                {"origin": key[0], "stream": key[1], "what": key[2], "rows": rows, "bytes": sizes.get(key, 0)}
                for key, rows in account
            ],
            "pulse_ns": writer.pulse_ns,
        }

    def _lane_facts(self, lane: int) -> dict[str, Any]:
        writer, store = self._writer, self._writer.store
        since = time.monotonic() - RATE_SECONDS
        rate = sum(size for at, of, size in self._committed if of == lane and at >= since) / RATE_SECONDS
        room = max(0, writer.limit_bytes - writer.used_bytes)
        return {
            "lane": LANES[lane],
            "batches": 0 if store is None else store.batches[lane],
            "bytes": 0 if store is None else store.bytes[lane],
            "oldest_ns": self._oldest_ns[lane],
            "rate_bytes_per_second": rate,
            "hours_left": room / rate / 3600 if rate else None,
        }

    async def close(self) -> None:
        """Commit what is left, mark the stop as clean, close the file, end the thread."""
        if self._discard_timer is not None:
            self._discard_timer.cancel()
        if not self.failed.done():
            await self.commit({_CLEAN: b"1"})
            await self._ask(self._close)
        self._writer.send(None)
        await asyncio.to_thread(self._writer.join)
        os.close(self._lock_file)
        if not self.failed.done():
            self.failed.cancel()

    def _close(self) -> None:
        if self._writer.store is not None:
            self._writer.store.checkpoint("TRUNCATE")
            self._writer.store.close()


def _settle(future: "asyncio.Future[Any]", result: Any, bug: BaseException | None) -> None:
    if future.done():
        return
    if bug is None:
        future.set_result(result)
    else:
        future.set_exception(bug)
        future.exception()  # marked as seen: `Buffer.failed` is where a bug of the writer is reported


def _weight(tail: _Tail) -> int:
    return len(tail.held)


def _take(held: Mapping[int, Held], *, after: int, limit_bytes: int) -> list[Held]:
    """The oldest of some batches above a key, up to a size but at least one."""
    taken = []
    for key in held:
        if key <= after:
            continue
        taken.append(held[key])
        limit_bytes -= held[key].size
        if limit_bytes <= 0:
            break
    return taken


def _last_write_ns(path: Path) -> int | None:
    """When a store was last written, by the file system; None if there is none yet."""
    times = [file.stat().st_mtime_ns for file in (path, Path(f"{path}-wal")) if file.exists()]
    return max(times, default=None)
