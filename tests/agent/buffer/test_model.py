"""The buffer against a plain list: whatever is done to it, and wherever it is killed, it holds what the list holds.

`parts/custody.py` is the list, and a reader who walks as the forwarder does. A kill is a copy of the files as they lie
between two requests; inside a request, `test_power.py` cuts at every single write.
"""

import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from parts.buffers import sums
from parts.custody import Custody
from parts.disks import FULL, IO, MEMORY, READ_ONLY, SYNC_FAILED, WRITE_FAILED, sqlite_error

from agent.buffer import keeper as keeper_module
from agent.buffer import room as room_module

PAGE = 4096
LANES = st.integers(0, 2)


class Disk:
    """Lets the store's steps fail with one error while it is broken: all from one on, or a few."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.after = 0
        self.left: int | None = None

    def __call__(self, step: str) -> None:
        if self.code is None or (step == "committed" and self.code in {FULL, WRITE_FAILED}):
            return  # a write that failed leaves no whole commit
        if self.after:
            self.after -= 1
            return
        code = self.code
        if self.left is not None:
            self.left -= 1
            self.code = code if self.left else None
        raise sqlite_error(code, f"at {step}")


class BufferModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(keeper_module, "REOPEN_SECONDS", 3600.0)  # the model says when the disk is tried again
        self.patch.setattr(room_module, "WAL_BYTES", 64 << 10)
        self.patch.setattr(room_module, "RESERVE_BYTES", 4 << 10)
        self.patch.setattr(keeper_module, "FLOOR_BYTES", 100 << 10)
        self.folder = Path(tempfile.mkdtemp(prefix="edgepost-model-", dir=MEMORY))
        self.disk = Disk()
        self.one = Custody(self.folder, step=self.disk, limit_bytes=500 << 10)
        self.is_failing = False

    def teardown(self) -> None:
        self.disk.code = None
        try:
            self.one.mend()
            self.one.check()
            self.one.keeper.close()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    def is_whole(self) -> bool:
        return self.disk.code is None and self.one.keeper.fault is None

    # --- what is done ----------------------------------------------------------------------------------------------

    @rule(lane=LANES, rows=st.integers(1, 5), batches=st.integers(1, 4), size=st.sampled_from([0, 0, 500, 6_000]))
    def commit(self, lane: int, rows: int, batches: int, size: int) -> None:
        text = random.Random(size).randbytes(size).hex()
        self.one.commit(lane=lane, rows=rows, batches=batches, text=text)

    @rule(data=st.data(), what=st.sampled_from(["confirmed", "dropped:rejected-limit"]))
    def end(self, data: st.DataObject, what: str) -> None:
        if self.one.held:
            self.one.end(data.draw(st.lists(st.sampled_from(sorted(self.one.held)), unique=True, max_size=5)), what)

    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        if self.one.held:
            self.one.park(data.draw(st.sampled_from(sorted(self.one.held))))

    @rule(lane=LANES, limit_bytes=st.integers(1, 5_000))
    def walk(self, lane: int, limit_bytes: int) -> None:
        self.one.walk(lane, limit_bytes=limit_bytes)

    @rule()
    def draw_epoch(self) -> None:
        self.one.keeper.draw_epoch()

    @rule(
        code=st.sampled_from([IO, FULL, READ_ONLY, WRITE_FAILED, SYNC_FAILED]),
        after=st.integers(0, 12),
        left=st.none() | st.integers(1, 4),
    )
    def break_disk(self, code: int, after: int, left: int | None) -> None:
        """All steps fail from one on, or some."""
        self.disk.code, self.disk.after, self.disk.left = code, after, left

    @precondition(lambda self: self.one.keeper.fault is not None)
    @rule()
    def try_the_disk_again_within_the_next_commit(self) -> None:
        self.one.keeper._reopen_at = 0.0

    @precondition(lambda self: self.disk.code is not None)
    @rule()
    def mend_disk(self) -> None:
        self.disk.code = None
        self.one.mend()

    @precondition(is_whole)
    @rule(is_kill=st.booleans())
    def reopen(self, is_kill: bool) -> None:
        self.one.reopen(is_kill=is_kill)

    @precondition(lambda self: self.disk.code is None and self.one.keeper.fault is not None)
    @rule()
    def kill_while_failing(self) -> None:
        self.one.kill_while_failing()

    @precondition(is_whole)
    @rule(data=st.data())
    def rot(self, data: st.DataObject) -> None:
        """A batch's bytes are others; it is found when it is read, declared, and read no more."""
        whole = sorted(self.one.held.keys() - self.one.parked)
        if whole:
            first = data.draw(st.sampled_from(whole))
            store = self.one.keeper.store
            store._db.execute("UPDATE batch SET digest = zeroblob(16) WHERE id = ?", (self.one.keys[first],))
            del self.one.held[first]

    @precondition(is_whole)
    @rule(chance=st.randoms(use_true_random=False), kind=st.sampled_from(["garbage", "zeros", "cut"]))
    def corrupt(self, chance: random.Random, kind: str) -> None:
        """Pages of batches are others, or the end of the file is gone."""
        self.one.damage(lambda file: spoil(file, chance, kind))

    # --- what must hold --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.disk.code is None)
    @invariant()
    def everything_held_can_be_read(self) -> None:
        self.one.check()

    @precondition(is_whole)
    @invariant()
    def every_eviction_is_declared_and_counted(self) -> None:
        counts = sums(self.one.keeper.store.tables.account)
        assert all(number >= 0 for stream in counts.values() for number in stream.values())


def spoil(file: Path, chance: random.Random, kind: str) -> None:
    """Damage pages that hold no root of a table: those of the small tables are one page each."""
    with closing(sqlite3.connect(file)) as db:
        roots = {row[0] for row in db.execute("SELECT rootpage FROM sqlite_schema")}
    pages = sorted(set(range(3, file.stat().st_size // PAGE + 1)) - roots)
    if not pages:
        return
    with file.open("r+b") as raw:
        if kind == "cut":
            raw.truncate((chance.choice(pages) - 1) * PAGE)
            return
        for page in chance.sample(pages, min(len(pages), 2)):
            raw.seek((page - 1) * PAGE)
            raw.write(bytes(PAGE) if kind == "zeros" else chance.randbytes(PAGE))


def live(examples: int, steps: int) -> None:
    patience = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(BufferModel, settings=patience)


def test_the_buffer_holds_what_a_plain_list_holds():
    live(40, 25)


@pytest.mark.soak
def test_the_buffer_holds_what_a_plain_list_holds_for_hours():
    live(5_000, 60)
