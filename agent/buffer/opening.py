"""Opening the file, whatever state it is in.

    buffer.db ──► Store
      ├─ damaged ──► set aside (damage.py); a new file, into which the small tables of the old one are carried
      └─ on a disk that takes no write ──► a store to read from: the backlog leaves, whatever else has to wait

Invariant: what is set aside is carried before anything is named in the new file. A mark in the same transaction says
so, and which spans wait for their salvage, so a kill in between neither forgets nor repeats it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from agent.buffer import damage
from agent.buffer.connection import Step, closed_on_failure
from agent.buffer.faults import BUSY, CORRUPT, DISK_ERRORS, MOVED, WRONG_FILE, fault_of
from agent.buffer.rows import Origin
from agent.buffer.store import Store
from agent.buffer.tables import CLEAN, OWN, SpanRow, Tables

_UNREADABLE: Final = frozenset(
    {BUSY, CORRUPT, MOVED, WRONG_FILE}
)  # what another program may be writing, or is not ours

Spans = dict[tuple[bytes, int], SpanRow]


class Opener:
    """Opens one store again and again, as long as the agent lives.

    Attributes:
        found_commits: number of the last commit that the last opening found in the file; 0 in a new one.
        unclean_since_ns: time of the last commit before the last opening, unless a clean stop came after it.
    """

    def __init__(self, path: Path, origin: Origin, *, step: Step) -> None:
        self.path = path
        self._origin = origin
        self._step = step
        self._damaged: Tables | None = None  # of the open file, which is to be set aside
        self._known: dict[Path, Tables] = {}  # file that is set aside → its tables as they were in memory
        self.found_commits = 0
        self.unclean_since_ns: int | None = None

    def give_up(self, tables: Tables) -> None:
        """The open file turned out to be damaged: the next opening sets it aside; these tables are better than its."""
        self._damaged = tables

    def open(self) -> Store:
        """Open the file, or a new one in place of a damaged one.

        Raises:
            sqlite3.Error, OSError: `faults.fault_of` tells which state that is.
        """
        if self._damaged is not None or damage.half_aside(self.path) is not None:
            self._set_aside()
        try:
            store = self._open()
        except DISK_ERRORS as error:
            fault = fault_of(error)
            if fault is None or fault.state != CORRUPT:
                raise
            self._set_aside()
            store = self._open()
        with closed_on_failure(store):
            self.found_commits = store.tables.commits
            self.unclean_since_ns = _unclean_since(store.tables)
            self._carry_all(store)
        return store

    def _open(self) -> Store:
        return Store(self.path, self._origin, step=self._step)

    def _set_aside(self) -> None:
        aside = damage.set_aside(self.path)
        if self._damaged is not None:
            self._known[aside], self._damaged = self._damaged, None

    def _carry_all(self, store: Store) -> None:
        """Carry what was not yet, the last one first: it had carried those before it."""
        asides = [path for path in damage.waiting(self.path.parent) if _mark(path) not in store.tables.marks]
        old = {path: self._known.get(path) or damage.read_tables_of(path) for path in asides}
        for path in sorted(asides, key=lambda path: old[path].commits, reverse=True):
            if _mark(path) in store.tables.marks:
                continue
            if not self.found_commits and self.unclean_since_ns is None:
                self.unclean_since_ns = _unclean_since(old[path])
            spans = [
                (epoch, lane, row.base, row.first_held, row.last) for (epoch, lane), row in old[path].spans.items()
            ]
            store.carry(old[path], mark=_mark(path), value=msgspec.msgpack.encode(spans))

    def read_only(self, state: str) -> Store | None:
        """Open the file only to be read, while its disk takes no write; None if even that fails."""
        if state in _UNREADABLE or self._damaged is not None:
            return None
        with suppress(*DISK_ERRORS):
            return Store(self.path, self._origin, step=self._step, is_read_only=True)
        return None


def _unclean_since(tables: Tables) -> int | None:
    return tables.committed_ns if tables.commits and not tables.marks.get(CLEAN) else None


def spans_of(store: Store, aside: list[Path]) -> Spans:
    """The spans of files that are set aside, as they were when these were carried."""
    spans: Spans = {}
    for path in aside:
        for epoch, lane, *row in msgspec.msgpack.decode(store.tables.marks.get(_mark(path), b"\x90")):
            spans[epoch, lane] = SpanRow(*row)
    return spans


def _mark(aside: Path) -> tuple[str, str]:
    return OWN, f"carried {aside.name}"
