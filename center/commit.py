"""Commit: which batches are new, the sink, then the memory; only then anybody is told.

    batch ──known?──► repeat, or conflict (kept in refused/)
      └─new──► rows decoded ──► sink.write ──► sink.sync ──► memory.commit ──► committed

Everything here runs on one thread of its own; the loop only waits.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from center.memory import Declared, Memory
from center.sinks import Sink, make_sink
from wire.batch import Batch, Refused, decode_rows
from wire.declared import read_declared
from wire.receipts import COMMITTED, LATER, REJECTED, REPEAT
from wire.receive import Outcome
from wire.state import State, encode_state

REFUSED_BYTES: Final = 256 << 20  # kept in refused/; beyond it the oldest go
REFUSED_FILES: Final = 10_000  # likewise: a byte takes a block and an inode
_T = TypeVar("_T")
log = logging.getLogger("edgepost.center")


class Commit:
    """Owns the sink and the memory of one folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._memory: Memory | None = None
        self._sink: Sink | None = None
        self._refused = 0
        self.problem: str | None = None

    async def open(self) -> None:
        """Open memory and sink.

        Raises:
            OSError, sqlite3.Error: the folder cannot be used.
        """
        await self._on_thread(self._open)

    def _open(self) -> None:
        (self._folder / "refused").mkdir(parents=True, exist_ok=True)
        self._memory = Memory(self._folder / "receive.db")
        self._sink = make_sink(self._kind, self._folder, positions=self._memory.positions)

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Make batches durable; a failing disk is `later` for all that are new, and never a lie."""
        return await self._on_thread(lambda: self._commit(batches))

    def _commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        new: dict[tuple[str, Any], Batch] = {}
        try:
            outcomes.extend(self._take(batch, new) for batch in batches)
            self._make_durable(list(new.values()))
            self.problem = None
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
            return [Outcome(LATER, "disk") if one.outcome == COMMITTED else one for one in outcomes] + [
                Outcome(LATER, "disk")
            ] * (len(batches) - len(outcomes))
        return outcomes

    def _take(self, batch: Batch, new: dict[tuple[str, Any], Batch]) -> Outcome:
        if self._memory is None or self._sink is None:
            self._open()
        assert self._memory is not None
        assert self._sink is not None
        key = (batch.head.agent, batch.name)
        twin = new.get(key)
        if twin is not None or self._memory.knows(*key):
            known = twin.digest if twin is not None else self._memory.digest_of(*key)
            if known in {None, batch.digest}:
                return Outcome(REPEAT)
            self._keep("conflict", batch.head_bytes + batch.body)
            return Outcome(REJECTED, "conflict")
        rows: list[list[Any]] = []
        if self._sink.needs_rows or batch.head.stream == "agent":
            try:
                rows = decode_rows(batch)
            except Refused as refused:
                self._keep(refused.reason, batch.head_bytes + batch.body)
                return Outcome(REJECTED, refused.reason)
        self._sink.write(batch, rows)
        new[key] = batch
        return Outcome(COMMITTED)

    def _make_durable(self, new: list[Batch]) -> None:
        if not new:
            return
        assert self._memory is not None
        assert self._sink is not None
        declared = [one for batch in new if batch.head.stream == "agent" for one in _declared(batch)]
        self._memory.commit(new, positions=self._sink.sync(), declared=declared)
        self._memory.forget_positions(self._sink.rotate())

    def _fail(self, error: Exception) -> None:
        """Forget what was written beyond the committed positions, by opening again at the next commit."""
        log.error("the sink fails, batches are asked for again later: %s", error)
        self.problem = str(error)
        self._close()

    def _keep(self, reason: str, data: bytes) -> None:
        """Keep bytes that nobody can read, bounded."""
        folder = self._folder / "refused"
        self._refused += 1
        path = folder / f"{time.time_ns()}-{self._refused}-{reason}.bin"
        path.write_bytes(data)
        if self._refused % 100 == 1:
            _bound(folder)

    async def keep_refused(self, topic: str, payload: bytes, reason: str) -> None:
        """Keep a payload that could not be read."""
        del topic  # it is in the log; the bytes are what matters

        def keep() -> None:
            try:
                self._keep(reason, payload)
            except OSError as error:
                self._fail(error)

        await self._on_thread(keep)

    async def hear_state(self, site: str, sender: str, state: State) -> None:
        """Keep a sender's last state, for the ledger."""

        def hear() -> None:
            try:
                if self._memory is not None:
                    spans = [(span.epoch, span.lane, span.last) for span in state.spans]
                    self._memory.hear(site, sender, encode_state(state), spans=spans)
            except sqlite3.Error as error:
                self._fail(error)

        await self._on_thread(hear)

    async def with_memory(self, work: Callable[[Memory], _T]) -> _T:
        """Read from the memory on its thread."""

        def read() -> _T:
            if self._memory is None:
                self._open()
            assert self._memory is not None
            return work(self._memory)

        return await self._on_thread(read)

    async def close(self) -> None:
        """Close sink and memory."""
        await self._on_thread(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        sink, memory, self._sink, self._memory = self._sink, self._memory, None, None
        if sink is not None:
            sink.close()
        if memory is not None:
            memory.close()


def _declared(batch: Batch) -> list[Declared]:
    """The losses that a batch of the stream `agent` declares."""
    losses = read_declared(batch.head.columns, decode_rows(batch))
    return [Declared(batch.head.agent, *loss) for loss in losses]


def _bound(folder: Path) -> None:
    files = sorted(folder.iterdir())
    size = sum(file.stat().st_size for file in files)
    for at, file in enumerate(files):
        if size <= REFUSED_BYTES and len(files) - at <= REFUSED_FILES:
            return
        size -= file.stat().st_size
        file.unlink()
