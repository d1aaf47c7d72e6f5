"""Commit: which batches are new, the sink, then the memory; only then anybody is told.

    batch ──known?──► repeat, or conflict (its bytes go to refused/, its declarations count)
      └─new──► rows decoded ──► sink ───┐
    unread ──────► refused/ ────────────┴─► sync ──► memory ──► committed, rejected, refused

One group is one sync a file and one transaction. If any of it fails, nothing of the group is promised: the answer is
`later` for all, and the folder is opened again, at its committed positions. Everything here runs on one thread of its
own; the loop only waits.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from center.folder import DISK_ERRORS, Folder, is_of_the_disk
from center.lock import hold, release
from center.memory import REFUSED as REFUSED_HERE
from center.memory import Change, Lost, Memory
from wire.batch import Batch, Refused, decode_rows, encode_payload
from wire.declared import AGENT_STREAM, read_declared, read_unclean_stops
from wire.names import BatchName
from wire.receipts import COMMITTED, LATER, REFUSED, REJECTED, REPEAT
from wire.receive import Heard, Outcome, Received, Unread

DISK: Final = "disk"
MOST_STATES: Final = 10_000  # that wait for a disk that fails; senders tell theirs again
_T = TypeVar("_T")
log = logging.getLogger("edgepost.center")


class Commit:
    """Owns one folder, and the thread that works on it."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._lock: int | None = None
        self._folder: Folder | None = None
        self._heard: list[Heard] = []
        self.problem: str | None = None

    async def open(self) -> None:
        """Lock the folder, open sink and memory.

        Raises:
            FolderHeld: another receiver works on it.
            Unknown: its memory is of another version.
            OSError: it cannot be made or locked. A disk that fails later is a state, and told to whoever sends.
        """
        await self._on_thread(self._open)

    def _open(self) -> None:
        self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = hold(self._path)
        try:
            self._opened()
        except DISK_ERRORS as error:
            self._fail(error)

    def _opened(self) -> Folder:
        if self._folder is None:
            self._folder = Folder(self._path, self._kind)
        return self._folder

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def hear(self, states: Sequence[Heard]) -> None:
        """Take states of senders; they are remembered with the next commit that holds."""
        self._heard += states
        del self._heard[:-MOST_STATES]

    async def commit(self, received: Sequence[Received]) -> list[Outcome]:
        """Make a group durable and say what became of each; a failing disk is `later` for all, and never a lie."""
        return await self._on_thread(lambda: self._commit(received))

    def _commit(self, received: Sequence[Received]) -> list[Outcome]:
        heard = list(self._heard)
        try:
            folder = self._opened()
            group = _Group(folder, Change(states=heard))
            outcomes = [group.take(one) for one in received]
            folder.commit(group.change)
        except DISK_ERRORS as error:
            self._fail(error)
            return [Outcome(LATER, DISK)] * len(received)
        del self._heard[: len(heard)]
        if group.change:
            self._heal()
        return outcomes

    def _fail(self, error: Exception) -> None:
        """Forget what was written beyond the committed positions, by opening again at the next commit."""
        if not is_of_the_disk(error):
            raise error
        if self.problem != str(error):
            log.error("nothing is taken until this is mended, agents keep their batches: %s: %s", self._path, error)
        self.problem = str(error)
        self._close_folder()

    def _heal(self) -> None:
        if self.problem is not None:
            log.info("batches are taken again: %s works", self._path)
        self.problem = None

    async def tend(self) -> None:
        """Finish old files and forget old digests; to be called each minute."""

        def tend() -> None:
            try:
                self._opened().tend()
            except DISK_ERRORS as error:
                self._fail(error)

        await self._on_thread(tend)

    async def with_memory(self, work: Callable[[Memory], _T]) -> _T:
        """Read from the memory on its thread.

        Raises:
            OSError, sqlite3.Error: the folder cannot be used.
        """
        return await self._on_thread(lambda: work(self._opened().memory))

    async def close(self) -> None:
        """Close the folder and let it go."""
        await self._on_thread(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        self._close_folder()
        lock, self._lock = self._lock, None
        if lock is not None:
            release(lock)

    def _close_folder(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()


class _Group:
    """One group on its way: what is new in it, and what the transaction will remember."""

    def __init__(self, folder: Folder, change: Change) -> None:
        self.change = change
        self._folder = folder
        self._new: dict[tuple[str, BatchName], Batch] = {}

    def take(self, received: Received) -> Outcome:
        """Write one batch or payload and say what becomes of it, if the group holds."""
        return self._take_unread(received) if isinstance(received, Unread) else self._take(received)

    def _take(self, batch: Batch) -> Outcome:
        known = self._known(batch)
        if known is not None:
            return known
        rows: list[list[Any]] = []
        if self._folder.sink.needs_rows or batch.head.stream == AGENT_STREAM:
            try:
                rows = decode_rows(batch)
            except Refused as refused:
                return self._take_unread(_unread(batch, refused.reason, is_missing=True))
        self._folder.sink.write(batch, rows)
        self._new[batch.head.agent, batch.name] = batch
        self.change.batches.append(batch)
        self._declare(batch, rows)
        return Outcome(COMMITTED)

    def _known(self, batch: Batch) -> Outcome | None:
        """Say repeat or conflict of a name that is here, or in this group; None of a new one."""
        agent, memory = batch.head.agent, self._folder.memory
        twin = self._new.get((agent, batch.name))
        if twin is None and not memory.knows(agent, batch.name):
            return None
        known = memory.digest_of(agent, batch.name) if twin is None else twin.digest
        if known in {None, batch.digest}:
            return Outcome(REPEAT)
        self._take_unread(_unread(batch, "conflict", is_missing=False))
        self._declare_of_conflict(batch)
        return Outcome(REJECTED, "conflict")

    def _declare_of_conflict(self, batch: Batch) -> None:
        """What is rejected is never sent again, so what it declares lost must count now, or it would show as missing."""
        if batch.head.stream != AGENT_STREAM:
            return
        try:
            self._declare(batch, decode_rows(batch))
        except Refused as refused:
            log.warning("declarations of %s are lost with a batch that is %s", batch.head.agent, refused.reason)

    def _declare(self, batch: Batch, rows: Sequence[Sequence[Any]]) -> None:
        """Take from the stream `agent` what the ledger must know."""
        if batch.head.stream != AGENT_STREAM:
            return
        agent, columns = batch.head.agent, batch.head.columns
        self.change.lost += [
            Lost((agent, one.epoch, one.lane), one.first_seq, one.last_seq, one.reason)
            for one in read_declared(columns, rows)
        ]
        self.change.stops += [(agent, stop) for stop in read_unclean_stops(columns, rows)]

    def _take_unread(self, unread: Unread) -> Outcome:
        """Keep the bytes; a batch whose name can be read will not arrive, and that is no gap in its agent's account."""
        self._folder.refused.keep(unread.payload, reason=unread.reason, topic=unread.topic)
        if unread.reason == "digest":
            return Outcome(REFUSED, unread.reason)
        if unread.name is not None and unread.agent is not None:
            epoch, lane, seq = unread.name
            self.change.lost.append(Lost((unread.agent, epoch, lane), seq, seq, unread.reason, REFUSED_HERE))
        return Outcome(REJECTED, unread.reason)


def _unread(batch: Batch, reason: str, *, is_missing: bool) -> Unread:
    """A batch as a payload that is not taken; `is_missing` tells that no other bytes have come under its name."""
    payload = encode_payload(batch.hop, digest=batch.digest, head=batch.head_bytes, body=batch.body)
    topic = f"{batch.head.site}/{batch.hop.sender}/{batch.head.stream}"
    agent = batch.head.agent if is_missing else None
    return Unread(topic, payload, reason, batch.name, batch.digest, agent)
