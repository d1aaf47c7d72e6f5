"""Salvage: batches out of damaged files into the store, in the background, under their own names and keys.

    buffer-*.damaged ──read in the order of keys, over every hole──► groups ──► the writer ──► store

A tree that is damaged near its root leads nowhere, so then every page is looked at for itself too (`pages.py`).
A thread of its own reads the damaged file, never the store. A group is committed with a mark of how far it reached;
a salvage that was interrupted reads from the beginning, to know what is there, and takes from that mark on. What
cannot be read is counted and declared; the file stays.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from agent.buffer import damage
from agent.buffer.keeper import Keeper
from agent.buffer.lineage import belongs
from agent.buffer.losses import share_out
from agent.buffer.opening import Spans, spans_of
from agent.buffer.pages import pages_of, rows_on
from agent.buffer.ranges import Ranges
from agent.buffer.rows import KEY_BITS, Held
from agent.buffer.store import Store, is_whole
from agent.buffer.tables import OWN, is_sound
from wire.batch import Refused, decode_head

GROUP_BYTES: Final = 1 << 20
RETRY_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.2
MAX_HOLES: Final = 4096  # then the rest of a file is given up
REASON: Final = "corrupt"
_END: Final = 3 << KEY_BITS  # above every key

Seen = dict[tuple[bytes, int], Ranges]
"""(epoch, lane) → seqs that were read."""


Send = Callable[[Callable[[], Any], Callable[[Any], None]], None]


def _nobody(_: Any) -> None:
    """Nobody waits for the result."""


class _Stopped(Exception):
    """The agent stops; the next start goes on."""


class Salvage:
    """At most one thread, while there are damaged files."""

    def __init__(self, keeper: Keeper, send: Send) -> None:
        """Take the keeper, asked only through `send`, the queue of the writer's thread."""
        self._keeper = keeper
        self._send = send
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name="buffer-salvage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it end soon."""
        self._stop.set()

    def _run(self) -> None:
        with ExitStack() as stack:
            stack.push(self._carry)
            while files := damage.waiting(self._keeper.folder):
                seen: Seen = {}
                for path in files:
                    self._read(path, seen)
                self._insist(partial(_end, self._keeper, files, seen))

    def _read(self, path: Path, seen: Seen) -> None:
        """By the tree first; if that led to holes, or to another file's pages, page by page too."""
        taken = self._ask(lambda: _salvaged_to(self._keeper, path))
        holes: list[int] = []
        with closing(damage.connect(path)) as db:
            for group in _groups(read_over_holes(db, 0, holes)):
                new = _unseen(group, seen)
                self._give(path, [held for held in new if held.key > taken], reached=group[-1].key)
        if holes or not belongs(path):
            self._read_pages(path, seen, taken=taken)

    def _read_pages(self, path: Path, seen: Seen, *, taken: int) -> None:
        """What the tree does not lead to; not what has ended by the spans. Pages said to be given back come last."""
        spans = self._ask(lambda: _spans_of(self._keeper, path))
        with pages_of(path) as pages:
            free = pages.free()
            for number, index in enumerate(sorted(range(len(pages)), key=lambda index: (index in free, index))):
                found = [held for row in rows_on(pages, index) if (held := _held(row)) is not None]
                held_still = [one for one in found if not _has_ended(one, spans, is_free=index in free)]
                new = _unseen(held_still, seen)
                if _END + number > taken:
                    self._give(path, new, reached=_END + number)

    def _give(self, path: Path, held: list[Held], *, reached: int) -> None:
        if held:
            self._insist(partial(_take, self._keeper, path, held, reached=reached))

    def _insist(self, work: Callable[[], bool]) -> None:
        """Ask until the disk takes it."""
        while not self._ask(work):
            if self._stop.wait(RETRY_SECONDS):
                raise _Stopped

    def _ask(self, work: Callable[[], Any]) -> Any:
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._send(work, reply.put)
        while not self._stop.is_set():
            try:
                return reply.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
        raise _Stopped

    def _carry(self, _: type[BaseException] | None, bug: BaseException | None, _trace: TracebackType | None) -> bool:
        """A bug here is a bug of the writer: it ends the process."""
        if bug is not None and not isinstance(bug, _Stopped):
            self._send(partial(_raise, bug), _nobody)
        return True


def _unseen(found: list[Held], seen: Seen) -> list[Held]:
    """Batches met for the first time; a tree in disorder leads to the same page more than once."""
    return [held for held in found if seen.setdefault(held.name[:2], Ranges()).add(held.name.seq)]


def _has_ended(held: Held, spans: Spans, *, is_free: bool) -> bool:
    """Whether a batch that lies on some page had ended, as far as its span knows; on a free page in case of doubt."""
    span = spans.get(held.name[:2])
    return is_free if span is None else held.name.seq < span.first_held


def _raise(bug: BaseException) -> None:
    raise bug


# --- reading a damaged file ----------------------------------------------------------------------------------------


def read_over_holes(db: sqlite3.Connection, after: int, holes: list[int]) -> Iterator[Held]:
    """Read whole batches in the order of their keys; at damage go on at the next key that can be read.

    Args:
        db: the damaged file.
        after: the key to begin after.
        holes: takes the key at which each hole ended.
    """
    for _ in range(MAX_HOLES):
        try:
            cursor = db.execute(
                "SELECT id, committed_ns, digest, head, body FROM batch WHERE id > ? ORDER BY id", (after,)
            )
            for row in cursor:
                if row[0] <= after:  # a tree in disorder may lead round in a circle
                    holes.append(after)
                    return
                after = row[0]
                held = _held(row)
                if held is not None:
                    yield held
            return
        except (sqlite3.Error, UnicodeError):
            after = _next_readable(db, after)
            holes.append(after)
        if after >= _END:
            return


def _next_readable(db: sqlite3.Connection, after: int) -> int:
    """Find where reading works again: doubling steps until it does, then halving back to the first that does."""
    good = 1
    while not _is_readable(db, after + good):
        good *= 2
        if after + good >= _END:
            return _END
    bad = good // 2
    while good - bad > 1:
        middle = (good + bad) // 2
        if _is_readable(db, after + middle):
            good = middle
        else:
            bad = middle
    return after + good


def _is_readable(db: sqlite3.Connection, after: int) -> bool:
    try:
        row = db.execute("SELECT * FROM batch WHERE id > ? ORDER BY id LIMIT 1", (after,)).fetchone()
    except (sqlite3.Error, UnicodeError):
        return False
    return row is not None or after + 1 >= _END


def _held(row: tuple[Any, ...]) -> Held | None:
    """A batch out of a damaged row; None if it is not whole. Its head knows everything but key and time."""
    key, committed_ns, digest, head_bytes, body = row
    if list(map(type, row)) != [int, int, bytes, bytes, bytes]:
        return None
    try:
        head = decode_head(head_bytes)
    except Refused:
        return None
    at = committed_ns if is_sound((committed_ns,), int) else 0
    held = Held(head.name, key, head.stream, head.rows, digest, head_bytes, body, at)
    return held if head.lane == key >> KEY_BITS and is_whole(held) else None


def _groups(found: Iterator[Held]) -> Iterator[list[Held]]:
    group: list[Held] = []
    size = 0
    for held in found:
        group.append(held)
        size += held.size
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


# --- on the writer's thread ----------------------------------------------------------------------------------------


def _mark(path: Path) -> tuple[str, str]:
    return OWN, f"salvage {path.name}"


def _salvaged_to(keeper: Keeper, path: Path) -> int:
    marks = keeper.store.tables.marks if keeper.store is not None else {}
    return int.from_bytes(marks.get(_mark(path), b""), "big")


def _take(keeper: Keeper, path: Path, group: list[Held], *, reached: int) -> bool:
    """Take one group into the store; False while the disk fails."""

    def take(store: Store) -> None:
        store.salvage(group, mark=_mark(path), value=reached.to_bytes(8, "big"))
        keeper.make_room(store)

    return keeper.at_disk(take)


def _spans_of(keeper: Keeper, path: Path) -> Spans:
    return spans_of(keeper.store, [path]) if keeper.store is not None else {}


def _end(keeper: Keeper, files: list[Path], seen: Seen) -> bool:
    """Close the account over what could not be read, declare it, and mark the files as done."""

    def end(store: Store) -> None:
        lost = sum(rows for rows in store.balance(REASON).values() if rows > 0)
        spans = spans_of(store, files)
        for path in files:
            damage.set_done(path)
        for one in share_out(lost, spans, seen, reason=REASON):
            keeper.waiting.losses.add_range(one)
        keeper.on_rewound()

    return keeper.at_disk(end)
