"""The buffer against a plain list: whatever is done to it, and wherever it is killed, it holds what the list holds.

The list knows for each batch where its rows must be: held, or ended with a reason. A kill is a copy of the files as
they lie on the disk between two requests; what was committed before it must be there, whole and in order.
"""

import shutil
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from parts.buffers import assert_account_closes, details, keeper, numbers, sealed

from agent.buffer import keeper as keeper_module
from agent.buffer import read
from agent.buffer.rows import Changes, Held
from agent.buffer.tables import CLEAN
from wire.names import BatchName

FULL = 13
LANES = st.integers(0, 2)


class Disk:
    """Lets the store's steps fail with one error while it is broken."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.after = 0

    def __call__(self, step: str) -> None:
        if self.code is None or (step == "committed" and self.code == FULL):
            return  # a write that found no room leaves no whole commit
        if self.after:
            self.after -= 1
            return
        error = sqlite3.OperationalError(f"at {step}")
        error.sqlite_errorcode = self.code
        raise error


class BufferModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patience = keeper_module.REOPEN_SECONDS
        keeper_module.REOPEN_SECONDS = 3600.0  # the model says when the disk is tried again
        self.folder = Path(tempfile.mkdtemp(prefix="edgepost-model-"))
        self.disk = Disk()
        self.next = 0
        self.held: dict[int, tuple[int, list[int]]] = {}  # number of the first row → (lane, numbers of the rows)
        self.parked: set[int] = set()
        self.names: dict[BatchName, bytes] = {}
        self.mark = b""
        self.keeper = keeper(self.folder / "0", step=self.disk)
        self.generation = 0

    def teardown(self) -> None:
        keeper_module.REOPEN_SECONDS = self.patience
        shutil.rmtree(self.folder)

    # --- what is done ---

    @rule(lane=LANES, rows=st.integers(1, 5), count=st.integers(1, 4), mark=st.binary(max_size=3))
    def commit(self, lane: int, rows: int, count: int, mark: bytes) -> None:
        firsts = []
        for _ in range(count):
            self.keeper.seal(sealed(self.next, rows, lane=lane))
            self.held[self.next] = (lane, list(range(self.next, self.next + rows)))
            firsts.append(self.next)
            self.next += rows
        named = self.keeper.commit(Changes(marks={("log", "at"): mark}))
        assert [n for n in numbers(named) if n >= firsts[0]] == [n for first in firsts for n in self.held[first][1]]
        self.mark = mark
        self._learn(named)

    @rule(data=st.data(), what=st.sampled_from(["confirmed", "dropped:rejected-limit"]))
    def end(self, data: st.DataObject, what: str) -> None:
        found = self._readable()
        if not found:
            return
        chosen = data.draw(st.lists(st.sampled_from(sorted(found)), unique=True, max_size=5))
        done = {found[first].key: what for first in chosen}
        self.keeper.commit(Changes(done=done))
        for first in chosen:
            del self.held[first]

    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        found = self._readable()
        if found:
            first = data.draw(st.sampled_from(sorted(found)))
            self.keeper.park(found[first].key, "lost alone")
            self.parked.add(first)

    @rule()
    def draw_epoch(self) -> None:
        self.keeper.draw_epoch()

    @rule(code=st.sampled_from([10, 13, 8, 778, 1034]), after=st.integers(0, 12))
    def break_disk(self, code: int, after: int) -> None:
        """SQLITE_IOERR, FULL, READONLY, IOERR_WRITE, IOERR_FSYNC at any step from now on."""
        self.disk.code, self.disk.after = code, after

    @precondition(lambda self: self.disk.code is not None)
    @rule()
    def mend_disk(self) -> None:
        self.disk.code = None
        if self.keeper.fault is not None:
            self.keeper.open()
        assert self.keeper.fault is None

    @precondition(lambda self: self.disk.code is None and self.keeper.fault is None)
    @rule(is_kill=st.booleans())
    def reopen(self, is_kill: bool) -> None:
        """Go on with the files as they are: closed in order, or copied from under the living store."""
        self.generation += 1
        target = self.folder / str(self.generation)
        tables = self.keeper.store.tables
        is_unclean = is_kill and tables.commits > 0 and not tables.marks.get(CLEAN)
        if is_kill:
            shutil.copytree(self.keeper.folder, target)
            self.keeper.store._db.close()
        else:
            self.keeper.close()
            shutil.copytree(self.keeper.folder, target)
        self.keeper = keeper(target, step=self.disk)
        assert (self.keeper.unclean_since_ns is not None) == is_unclean
        assert self.keeper.store.tables.marks.get(("log", "at"), b"") == self.mark

    # --- what must hold ---

    def _learn(self, named: list[Held]) -> None:
        for held in named:
            assert self.names.setdefault(held.name, held.digest) == held.digest, "a name was given twice"

    def _readable(self) -> dict[int, Held]:
        """By the number of their first row."""
        found: dict[int, Held] = {}
        for lane in range(3):
            after = 0
            while batches := read.read(self.keeper, lane, after=after, limit_bytes=2_000):
                assert [held.key for held in batches] == sorted(held.key for held in batches)
                after = batches[-1].key
                found.update((numbers(held)[0], held) for held in batches if held.stream == "log")
        return found

    @precondition(lambda self: self.disk.code is None)
    @invariant()
    def everything_held_can_be_read(self) -> None:
        found = self._readable()
        assert {first: (held.name.lane, numbers(held)) for first, held in found.items()} == {
            first: rows for first, rows in self.held.items() if first not in self.parked
        }
        if self.keeper.fault is None:
            assert_account_closes(self.keeper.store)
        assert not details(self.keeper.memory.all(), "evicted")


BufferModel.TestCase.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_the_buffer_holds_what_a_plain_list_holds = BufferModel.TestCase
