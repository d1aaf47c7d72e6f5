"""The buffer's facade on the loop: futures for commits, the newest batches in memory, marks, and what status shows."""

import asyncio
import logging
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.buffer import lock, parked, read
from agent.buffer.connection import Step, no_step
from agent.buffer.keeper import Keeper
from agent.buffer.newest import Newest
from agent.buffer.rates import Rates
from agent.buffer.rows import BufferSettings, Changes, Done, Held, NotRead, Origin, Sealed
from agent.buffer.salvage import Salvage
from agent.buffer.view import View, lane_facts, look, marks_of, problem_of, spans_of
from agent.buffer.writer import Writer
from wire.state import Span

DISCARD_SECONDS: Final = 1.0
log = logging.getLogger("edgepost.buffer")
_T = TypeVar("_T")


class Buffer:
    """One per agent. Every method belongs to the loop; the disk belongs to the writer's thread.

    Attributes:
        failed: ends with an exception when the thread met a bug; the process cannot go on then.
        on_committed: new batches can be read.
        on_evicted: batches with these keys are gone.
        on_rewound: batches came back behind what was read already (salvaged, under new keys, or on a disk that could
            not be read): read from 0 again; what is in flight comes again too, perhaps under another key.
        on_shrunk: so many rows of a stream were too large for a message, and lost a part of themselves.
        unclean_since_ns: after an unclean stop, the time of the last commit before it; else None.
    """

    def __init__(self, keeper: Keeper, *, origin: Origin) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._keeper = keeper
        self._writer = Writer(keeper, on_done=self._look, on_ended=lambda bug: self._post(self._end, bug))
        self._salvage = Salvage(keeper, self._writer.ask)
        self._futures: set[asyncio.Future[Any]] = set()
        self._view = View(keeper.names.epoch)
        self._newest = Newest((1, 1, 1))
        self._changes = Changes()
        self._discard_timer: asyncio.TimerHandle | None = None
        self._commit_ms: deque[float] = deque(maxlen=256)
        self._rates = Rates()
        self._parked: dict[str, int] = {}  # batches by reason
        self._oldest_ns: list[int | None] = [None, None, None]
        self._lock: int | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self.on_committed: Callable[[], None] = lambda: None
        self.on_evicted: Callable[[list[int]], None] = lambda _: None
        self.on_rewound: Callable[[], None] = lambda: None
        self.on_shrunk: Callable[[str, int], None] = lambda _stream, _rows: None
        self.unclean_since_ns: int | None = None
        keeper.on_evicted = lambda keys: self._post(self._forget, keys)
        keeper.on_rewound = lambda: self._post(self._rewind, tuple(keeper.names.next))
        keeper.on_damaged = self._salvage.start

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        origin: Origin,
        settings: BufferSettings,
        in_flight: Container[int] = (),
        step: Step = no_step,
    ) -> "Buffer":
        """Lock the state directory, open the store, start the writer.

        Args:
            folder: the state directory.
            origin: whose rows these are.
            settings: how much it may take.
            in_flight: keys that must not be evicted, asked from the writer's thread.
            step: told each step of the store, for tests that let the disk fail there (`store.STEPS`).

        Raises:
            StoreHeld: another agent holds it.
            StateDirFailed: the directory cannot be made or entered. A failing disk is a state, not an error.
        """
        held = lock.hold(folder)  # the loop serves nobody yet, so it may block
        keeper = Keeper(folder, origin=origin, settings=settings, in_flight=in_flight, step=step)
        buffer = cls(keeper, origin=origin)
        buffer._lock = held
        buffer._writer.start()
        opened = buffer._ask(keeper.open)
        await asyncio.wait([opened])
        if opened.cancelled():
            await buffer.failed  # a bug ended the thread: it, not a cancellation, is what the caller has to hear of
        buffer._newest = Newest(buffer._view.next_keys)
        buffer.unclean_since_ns = keeper.unclean_since_ns
        buffer._count_parked()
        return buffer

    # --- between loop and thread -----------------------------------------------------------------------------------

    def _post(self, call: Callable[..., None], *values: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *values)

    def _ask(self, work: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Run `work` on the writer's thread; the future belongs to the loop."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        if self._ended.done():
            future.cancel()
        self._writer.ask(work, lambda result: self._post(_settle, future, result))
        return future

    def _look(self) -> None:
        self._view = look(self._keeper, self._origin.agent)

    def _end(self, bug: BaseException | None) -> None:
        self._ended.set_result(None)
        if bug is not None and not self.failed.done():
            self.failed.set_exception(bug)
        for future in tuple(self._futures):
            future.cancel()

    # --- writing ---------------------------------------------------------------------------------------------------

    def seal(self, sealed: Sealed) -> None:
        """Take a batch; it is compressed at once, and durable with the next commit."""

        def tell(shrunk: int) -> None:
            if shrunk:
                self._post(self.on_shrunk, sealed.stream, shrunk)

        self._writer.ask(lambda: self._keeper.seal(sealed), tell)

    def commit(self, marks: Mapping[tuple[str, str], bytes] | None = None) -> "asyncio.Future[list[Held]]":
        """Make all that was sealed so far durable, with these marks.

        Returns:
            A future of what was named; while the disk fails it is held in memory only, and `facts` says so.
        """
        if self._discard_timer is not None:
            self._discard_timer.cancel()
            self._discard_timer = None
        changes, self._changes = self._changes, Changes()
        changes.marks.update(marks or {})
        started = time.monotonic()
        future = self._ask(lambda: self._keeper.commit(changes))
        future.add_done_callback(lambda done: self._note(done, started))
        if self._parked:
            self._count_parked()  # some may have ended with this commit
        return future

    def _note(self, future: "asyncio.Future[list[Held]]", started: float) -> None:
        if future.cancelled() or not future.result():
            return
        now = time.monotonic()
        self._commit_ms.append((now - started) * 1000)
        for held in future.result():
            if held.key not in self._changes.done:
                self._newest.add(held)
            self._rates.add(held.name.lane, held.size, now=now)
        self.on_committed()

    def discard(self, done: Iterable[Done]) -> None:
        """End the custody of batches; it rides on the next commit, or commits alone a second later."""
        for one in done:
            self._changes.done[one.held.key] = one.what
            self._newest.remove(one.held.key)
        self._commit_soon()

    def park(self, held: Held, reason: str) -> None:
        """Keep a batch but send it no more: it was lost alone three times, or refused twice."""
        self._newest.remove(held.key)
        self._writer.ask(lambda: self._keeper.park(held.key, reason))
        self._count_parked()

    def _count_parked(self) -> None:
        """Look how many are parked; while the disk fails the last number stands."""

        def note(counts: dict[str, int] | None) -> None:
            self._parked = self._parked if counts is None else counts

        self._writer.ask(lambda: parked.count(self._keeper), lambda counts: self._post(note, counts))

    def count(self, stream: str, what: str, rows: int) -> None:
        """Account for rows that never became a batch, such as `dropped:intake-full`: received, and at once that."""
        self._changes.count(stream, what, rows)
        self._commit_soon()

    def _commit_soon(self) -> None:
        if self._discard_timer is None:
            self._discard_timer = self._loop.call_later(DISCARD_SECONDS, self._commit_alone)

    def _commit_alone(self) -> None:
        self._discard_timer = None
        self.commit()

    def _forget(self, keys: list[int]) -> None:
        for key in keys:
            self._newest.remove(key)
        self.on_evicted(keys)

    def _rewind(self, next_keys: tuple[int, ...]) -> None:
        self._newest = Newest(next_keys)
        self.on_rewound()

    async def draw_epoch(self) -> None:
        """Name all further batches under a new epoch: a name of ours was met with other bytes."""
        await self._ask(self._keeper.draw_epoch)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def read(self, lane: int, *, after: int, limit_bytes: int) -> list[Held]:
        """Read batches of a lane with keys above `after`, oldest first, up to `limit_bytes` but at least one."""
        while True:
            found = self._newest.read(lane, after=after, limit_bytes=limit_bytes)
            if found is None:
                work = partial(read.read, self._keeper, lane, after=after, limit_bytes=limit_bytes)
                found = await self._ask(work)
            held = [one for one in found if one.key not in self._changes.done]
            if held or not found:
                return held
            after = found[-1].key  # all of these have ended, and wait for the next commit

    async def fetch(self, key: int) -> Held | NotRead:
        """Read one batch again from the disk, or tell why it cannot be."""
        return await self._ask(lambda: read.fetch(self._keeper, key))

    async def next_parked(self, *, after: int, limit_bytes: int | None) -> Held | None:
        """Read the next parked batch above a key, no larger than the limit; rotten ones are not given."""
        return await self._ask(lambda: parked.next_parked(self._keeper, after=after, limit_bytes=limit_bytes))

    def marks(self, collector: str) -> dict[str, bytes]:
        """The newest marks of one collector whose rows are in our custody."""
        return marks_of(self._view, collector)

    async def spans(self) -> tuple[Span, ...]:
        """What each epoch holds in each lane, for the state message; newest epochs last."""
        return await self._ask(lambda: spans_of(self._keeper, self._origin.agent))

    # --- facts -----------------------------------------------------------------------------------------------------

    @property
    def sendable_batches(self) -> int:
        """Batches that are held, not parked, and whose custody has not ended."""
        lanes = sum(row.batches - row.parked for row in self._view.lanes)
        return max(0, lanes + self._view.memory_batches - len(self._changes.done))

    @property
    def epoch(self) -> bytes:
        """The epoch under which batches are named now."""
        return self._view.epoch

    @property
    def pulse_ns(self) -> int:
        """When the writer last finished a request, monotonic."""
        return self._writer.pulse_ns

    def confirmed(self) -> dict[str, int]:
        """Rows confirmed per stream, as the account has them."""
        mine = self._origin.agent
        account = self._view.account.items()
        return {stream: rows for (of, stream, what), (rows, _) in account if (of, what) == (mine, "confirmed")}

    async def refresh(self) -> None:
        """Measure what only the thread may: sizes and ages. For status, before `facts`."""
        self._count_parked()
        self._oldest_ns = await self._ask(lambda: read.oldest_ns(self._keeper))

    def facts(self) -> dict[str, Any]:
        """Everything status shows of the buffer; never blocks."""
        view = self._view
        state, problem, remedy = problem_of(view)
        return {
            "state": state,
            "problem": problem,
            "remedy": remedy,
            "path": str(self._keeper.path),
            "limit_bytes": view.limit_bytes,
            "used_bytes": view.used_bytes,
            "wal_bytes": view.wal_bytes,
            "disk_free_bytes": view.disk_free_bytes,
            "epoch": view.epoch.hex(),
            "lanes": self._lane_facts(view),
            "parked": dict(self._parked),
            "memory_batches": view.memory_batches,
            "memory_bytes": view.memory_bytes,
            "commit_ms": {
                "median": statistics.median(self._commit_ms) if self._commit_ms else None,
                "max": max(self._commit_ms, default=None),
            },
            "account": [
                {"origin": key[0], "stream": key[1], "what": key[2], "rows": rows, "bytes": size}
                for key, (rows, size) in sorted(view.account.items())
            ],
            "evicted_rows": sum(rows for key, (rows, _) in view.account.items() if "evicted" in key[2]),
            "pulse_ns": self._writer.pulse_ns,
        }

    def _lane_facts(self, view: View) -> list[dict[str, Any]]:
        rates = [self._rates.of(lane, now=time.monotonic()) for lane in range(3)]
        hours = view.hours_left(sum(rates))
        return [
            lane_facts(
                view,
                lane,
                oldest_ns=self._oldest_ns[lane],
                rate_bytes_per_second=rates[lane],
                hours_left=hours[lane],
            )
            for lane in range(3)
        ]

    async def close(self) -> None:
        """Commit what is left, mark the stop as clean, close the file, end the thread."""
        if self._discard_timer is not None:
            self._discard_timer.cancel()
        self._salvage.stop()
        if not self._ended.done():
            changes, self._changes = self._changes, Changes()
            await asyncio.wait([self._ask(lambda: self._keeper.commit(changes))])
            await asyncio.wait([self._ask(self._keeper.close)])
            self._writer.end()
        await self._ended
        if self._view.memory_batches:
            log.error("%d batches were held in memory only, and end with this process", self._view.memory_batches)
        if self._lock is not None:
            os.close(self._lock)
        if not self.failed.done():
            self.failed.cancel()


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)
