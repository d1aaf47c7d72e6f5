"""One hop in one process: a real buffer and forwarder, a real broker, the receiving loop, and a center that is a list.

async with receiving(broker.url, root) as center, forwarding(folder, broker.url, root) as hop:
    hop.put(0); await center.until(lambda: center.numbers == [0, 1])
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from parts.brokers import Running, mosquitto
from parts.buffers import ORIGIN, sealed

from agent.buffer import Buffer, BufferSettings
from agent.buffer import buffer as buffer_module
from agent.buffer import keeper as keeper_module
from agent.buffer.rows import Held
from agent.forward import Forward, ForwardSettings
from wire import receive as receive_module
from wire.batch import Batch, decode_rows
from wire.client import Broker, connect
from wire.names import BatchName
from wire.receipts import COMMITTED, REPEAT
from wire.receive import Outcome, Receiver, receive
from wire.state import State

WAIT_SECONDS = 20.0
_roots = itertools.count(1)


def new_root() -> str:
    """A root topic that no other test has used: one broker serves many."""
    return f"test-{next(_roots)}"


@contextmanager
def one_broker(folder: Path) -> Iterator[Running]:
    """A mosquitto for a whole module of tests."""
    with asyncio.Runner() as runner:
        context = mosquitto(folder)
        broker = runner.run(context.__aenter__())
        try:
            yield broker
        finally:
            runner.run(context.__aexit__(None, None, None))


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Let what waits wait less: no test is about these times."""
    patch.setattr(receive_module, "GROUP_SECONDS", 0.005)
    patch.setattr(buffer_module, "DISCARD_SECONDS", 0.01)
    patch.setattr(keeper_module, "REOPEN_SECONDS", 0.02)


class Center:
    """Remembers names as a center does, and keeps what it got in a list.

    Attributes:
        rows: the numbers of the rows of stream `log`, as they came, each name once.
        declared: details of the rows of stream `agent`, by event.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.declared: dict[str, list[dict[str, Any]]] = {}
        self.names: dict[BatchName, bytes] = {}
        self.repeats: Counter[BatchName] = Counter()
        self.states: list[State] = []
        self.answers = asyncio.Event()  # cleared: what comes waits here, unanswered
        self.answers.set()
        self._changed = asyncio.Event()

    async def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        await self.answers.wait()
        outcomes = [self._take(batch) for batch in batches]
        self._changed.set()
        return outcomes

    def _take(self, batch: Batch) -> Outcome:
        if batch.name in self.names:
            assert self.names[batch.name] == batch.digest, "a name came with other bytes"
            self.repeats[batch.name] += 1
            return Outcome(REPEAT)
        self.names[batch.name] = batch.digest
        for row in decode_rows(batch):
            if batch.head.stream == "log":
                self.rows.append(row[1])
            else:
                self.declared.setdefault(row[2], []).append(row[5])
        return Outcome(COMMITTED)

    async def keep_refused(self, topic: str, payload: bytes, reason: str) -> None:
        raise AssertionError(f"refused: {reason}")

    async def hear_state(self, site: str, sender: str, state: State) -> None:
        self.states.append(state)
        self._changed.set()

    async def until(self, claim: Callable[[], object], what: str) -> None:
        """Wait until something is true of this center."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not claim():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_SECONDS} s: {what}; got {sorted(self.rows)[-20:]}") from None

    async def has(self, numbers: Sequence[int]) -> None:
        """Wait until all these rows are here."""
        await self.until(lambda: set(numbers) <= set(self.rows), f"rows {sorted(set(numbers) - set(self.rows))[:10]}")


@asynccontextmanager
async def receiving(url: str, root: str) -> AsyncIterator[Center]:
    """Run the receiving loop on one connection."""
    center = Center()
    receiver = Receiver(
        root, "center", f"center-{root}", center.commit, center.keep_refused, center.hear_state, site=ORIGIN.site
    )
    ready = asyncio.Event()
    async with connect(Broker(url=url), client_id=f"center-{root}") as client:
        task = asyncio.create_task(receive(client, receiver, ready=ready.set), name="receive")
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await ready.wait()
            yield center
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()


class Sending:
    """An agent's far end."""

    def __init__(self, forward: Forward, buffer: Buffer, task: "asyncio.Task[None]") -> None:
        self.forward = forward
        self.buffer = buffer
        self.task = task
        self.next = 0

    async def put(self, *, lane: int = 1, rows: int = 2, batches: int = 1, text: str = "", **marks: bytes) -> list[int]:
        """Commit rows; give their numbers."""
        first = self.next
        for _ in range(batches):
            self.buffer.seal(sealed(self.next, rows, lane=lane, text=text))
            self.next += rows
        await self.buffer.commit({("log", key): value for key, value in marks.items()})
        return list(range(first, self.next))

    def forget_newest(self) -> None:
        """Let the disk be read: the newest batches are in memory no more."""
        self.buffer._newest = buffer_module.Newest(tuple(self.buffer._keeper.names.next))

    async def until(self, claim: Callable[[], object], what: str) -> None:
        """Wait until something is true of this agent; it is asked again and again."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not claim():
                    if self.buffer.failed.done() or self.task.done():
                        return
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_SECONDS} s: {what}; {self.buffer.facts()}") from None

    async def has_ended_all(self) -> None:
        """Wait until nothing is in custody any more."""
        await self.until(self._is_empty, "all is confirmed")

    def _is_empty(self) -> bool:
        facts = self.buffer.facts()
        lanes = sum(lane["batches"] - lane["parked"] for lane in facts["lanes"])
        return facts["state"] == "ok" and not lanes and not facts["memory_batches"]

    def account(self, stream: str = "log") -> dict[str, int]:
        return {one["what"]: one["rows"] for one in self.buffer.facts()["account"] if one["stream"] == stream}


@asynccontextmanager
async def forwarding(folder: Path, url: str, root: str, **options: Any) -> AsyncIterator[Sending]:
    """Open a buffer and forward from it; leave it in order, unless it was killed."""
    settings = ForwardSettings(root=root, brokers=(Broker(url=url, user=ORIGIN.agent),))
    forward = Forward(agent=ORIGIN.agent, site=ORIGIN.site, settings=settings, version="0")
    given = BufferSettings(**{"keep_free_percent": 0, **options.pop("settings", {})})
    buffer = await Buffer.open(folder, origin=ORIGIN, settings=given, in_flight=forward.in_flight, **options)
    forward.attach(buffer)
    task = asyncio.create_task(forward.run(), name="forward")
    try:
        yield Sending(forward, buffer, task)
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not buffer._ended.done():
            await buffer.close()


def named(held: Sequence[Held]) -> set[BatchName]:
    return {one.name for one in held}
