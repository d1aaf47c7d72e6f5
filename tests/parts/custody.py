"""A keeper, a plain list of what it must hold, and a reader who walks as the forwarder does.

    one = Custody(folder)
    one.commit(lane=1, batches=2); one.end([0]); one.reopen(); ...
    one.check()                 # the keeper holds what the list holds, and the reader was handed all of it

The list is by the number of a batch's first row. The reader goes from key to key, forgets what was evicted, and begins
again when it is told to: what it was never handed would never leave.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from parts.buffers import assert_account_closes, details, keeper, numbers, readable, salvage, sealed
from parts.disks import CORRUPT, sqlite_error

from agent.buffer import read
from agent.buffer.keeper import Keeper
from agent.buffer.naming import BLIND
from agent.buffer.rows import Changes, Held
from agent.buffer.store import Store
from agent.buffer.tables import CLEAN, number_of
from wire.names import BatchName

MARK = ("log", "at")


def is_sound(store: Store) -> bool:
    """Whether SQLite finds every page of a file in its place."""
    try:
        return store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False


class Custody:
    """Every method does one thing to the keeper, and the same to the list."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self._folder = folder
        self._settings = settings
        self._generation = 0
        self.next = 0
        self.held: dict[int, tuple[int, list[int]]] = {}  # first row → (lane, rows)
        self.ended: dict[int, tuple[int, list[int]]] = {}
        self.parked: set[int] = set()
        self.keys: dict[int, int] = {}  # first row → key, as it was seen last
        self.names: dict[BatchName, bytes] = {}
        self.mark = b""
        self.keeper = self._open(folder / "0")

    def _open(self, folder: Path) -> Keeper:
        self.after = [0, 0, 0]
        self.handed: set[int] = set()
        self._gone: set[int] = set()  # keys of what was evicted
        one = keeper(folder, **self._settings)
        one.on_evicted = self._forget
        one.on_rewound = self._rewind
        return one

    def _forget(self, keys: Iterable[int]) -> None:
        """The oldest had to go; a key that was given blindly has only become another."""
        self._gone.update(key for key in keys if number_of(key) < BLIND)
        for first in [first for first, key in self.keys.items() if key in self._gone]:
            self._drop(first)

    def _drop(self, first: int) -> None:
        self.held.pop(first, None)
        self.parked.discard(first)

    def _rewind(self) -> None:
        self.after = [0, 0, 0]
        self.handed.clear()

    # --- what is done ----------------------------------------------------------------------------------------------

    def commit(self, *, lane: int = 1, rows: int = 2, batches: int = 1, text: str = "") -> None:
        new = {}
        for _ in range(batches):
            self.keeper.seal(sealed(self.next, rows, lane=lane, text=text))
            new[self.next] = (lane, list(range(self.next, self.next + rows)))
            self.next += rows
        self.held.update(new)
        self.mark = str(self.next).encode()
        named = [held for held in self.keeper.commit(Changes(marks={MARK: self.mark})) if self._learn(held)]
        mine = [first for held in named for first in numbers(held)[:1] if first in new]
        assert mine == list(new), "what was sealed is named by the next commit, in its order"

    def _learn(self, held: Held) -> bool:
        """Remember a name, which may never be given to other bytes; tell whether it holds rows of ours."""
        assert self.names.setdefault(held.name, held.digest) == held.digest, "a name was given twice"
        if held.stream != "log":
            return False
        first = numbers(held)[0]
        self.keys[first] = held.key
        if held.key in self._gone:
            self._drop(first)
        return True

    def end(self, firsts: Iterable[int], what: str = "confirmed") -> None:
        chosen = [first for first in firsts if first in self.held]
        self.keeper.commit(Changes(done={self.keys[first]: what for first in chosen}))
        for first in chosen:
            self.ended[first] = self.held.pop(first, None) or self.ended[first]
            self.parked.discard(first)

    def park(self, first: int) -> None:
        self.parked.add(first)
        self.keeper.park(self.keys[first], "lost alone")

    def walk(self, lane: int, *, limit_bytes: int = 2_000) -> bool:
        """Read on where the reader stands; tell whether there was anything."""
        found = read.read(self.keeper, lane, after=self.after[lane], limit_bytes=limit_bytes)
        keys = [held.key for held in found]
        assert keys == sorted(set(keys))
        if found:
            assert keys[0] > self.after[lane]
            self.after[lane] = keys[-1]
        self.handed.update(numbers(held)[0] for held in found if self._learn(held))
        return bool(found)

    def reopen(self, *, is_kill: bool = False) -> None:
        """Go on with the files as they lie: closed in order, or copied from under the living store."""
        store = self.keeper.store
        assert store is not None
        is_unclean = is_kill and store.tables.commits > 0 and not store.tables.marks.get(CLEAN)
        if not is_kill:
            self.keeper.close()
        self._go_on_with_copy()
        assert (self.keeper.unclean_since_ns is not None) == is_unclean

    def _go_on_with_copy(self) -> None:
        self._generation += 1
        target = self._folder / str(self._generation)
        old = self.keeper
        shutil.copytree(old.folder, target)
        if old.store is not None:
            old.store._db.close()
        shutil.rmtree(old.folder)
        self.keeper = self._open(target)

    def kill_while_failing(self) -> None:
        """What memory alone held is gone, unless its commit took place after all; ends that waited are forgotten."""
        only_here = {numbers(held)[0] for held in self.keeper.memory.all() if held.stream == "log"}
        self._go_on_with_copy()
        found = self.found()
        assert found.items() <= {**self.ended, **self.held}.items()
        for first in only_here - found.keys():
            self._drop(first)
        self.parked -= found.keys()
        self.held.update(found)
        assert self.keeper.store is not None
        self.mark = self.keeper.store.tables.marks.get(MARK, b"")

    def damage(self, spoil: Callable[[Path], None]) -> None:
        """Spoil the closed file, open it, read it all, salvage: what is left must be of the list, and counted."""
        self.keeper.close()
        spoil(self.keeper.path)
        self.keeper = self._open(self.keeper.folder)
        self.found()  # damage is found where reading meets it
        self.keeper.tick()
        if not is_sound(self.keeper.store):  # or later, by a write
            self.keeper.fail(sqlite_error(CORRUPT))
            self.keeper.tick()
        assert self.keeper.fault is None
        salvage(self.keeper)
        found = self.found()
        assert found.items() <= self.held.items()
        self.parked &= self.held.keys() - found.keys()
        for first in self.held.keys() - found.keys() - self.parked:
            self._drop(first)

    def again(self) -> None:
        """A new process on the same files."""
        self.keeper = self._open(self.keeper.folder)

    def mend(self) -> None:
        """The disk is whole again, and tried again."""
        if self.keeper.fault is not None:
            self.keeper.open()
        assert self.keeper.fault is None

    # --- what must hold --------------------------------------------------------------------------------------------

    def found(self) -> dict[int, tuple[int, list[int]]]:
        """What can be read from the beginning, as the list has it."""
        batches = [held for lane in range(3) for held in readable(self.keeper, lane, limit_bytes=2_000)]
        return {numbers(held)[0]: (held.name.lane, numbers(held)) for held in batches if self._learn(held)}

    def check(self) -> None:
        """The keeper holds what the list holds; while nothing fails, its books close and its reader missed nothing."""
        found = self.found()
        expected = {first: batch for first, batch in self.held.items() if first not in self.parked}
        if self.keeper.store is None:  # then memory is all that can be read, until the disk is tried again
            assert found.items() <= expected.items()
            return
        assert found == expected, (sorted(found), sorted(expected))
        for lane in range(3):
            while self.walk(lane):
                pass
        store = self.keeper.store
        if self.keeper.fault is None and store is not None:
            assert set(found) <= self.handed, "a batch was passed over"
            assert_account_closes(store)
            assert store.tables.marks.get(MARK, b"") == self.mark

    def declared(self, event: str) -> list[dict[str, Any]]:
        """The losses that this keeper declares."""
        return details(readable(self.keeper, 0), event)
