"""Power cuts: of every commit that was told to be durable, every batch is there, whatever became of the rest.

A workload runs once with every write and sync recorded; then the power is cut at each point of that record, in several
ways, and the store is opened on what that may have left of the files.
"""

import random
import shutil
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest
from parts.buffers import assert_account_closes, keeper, numbers, readable, sealed
from parts.disks import SYNC_FAILED
from parts.power import HOW, Medium, lay_out
from parts.vfs import watched

from agent.buffer import room as room_module
from agent.buffer.rows import Changes

MARK = ("log", "at")


@dataclass
class Point:
    """What a call of the keeper has promised, and how long the record was when it returned."""

    at: int
    held: dict[int, list[int]] = field(default_factory=dict)  # number of the first row → numbers of all rows
    mark: bytes = b""


class Workload:
    """Commits, ends of custody, evictions and reopenings, in an order drawn from a seed."""

    def __init__(self, folder, door, seed):
        self.door, self.folder = door, folder
        self.chance = random.Random(seed)
        self.next = 0
        self.points = [Point(0)]
        self.gone = set()
        self.first_of = {}
        self.keeper = None
        self.open()

    def open(self):
        self.keeper = keeper(self.folder, limit_bytes=room_module.WAL_BYTES + (400 << 10))
        self.keeper.on_evicted = self.gone.update

    def live(self, steps):
        for _ in range(steps):
            self.chance.choices([self.commit, self.end, self.reopen], [8, 3, 1])[0]()
        return self.points

    def note(self, held, mark=None):
        held = {first: rows for first, rows in held.items() if self.first_of.get(first) not in self.gone}
        self.points.append(Point(len(self.door.log), held, self.points[-1].mark if mark is None else mark))

    def commit(self):
        new = {}
        for _ in range(self.chance.randint(1, 4)):
            rows = self.chance.randint(1, 4)
            text = self.chance.randbytes(self.chance.choice([10, 3000, 12_000])).hex()
            self.keeper.seal(sealed(self.next, rows, lane=self.chance.randint(0, 2), text=text))
            new[self.next] = list(range(self.next, self.next + rows))
            self.next += rows
        mark = str(self.next).encode()
        for held in self.keeper.commit(Changes(marks={MARK: mark})):
            if held.stream == "log":
                self.first_of[numbers(held)[0]] = held.key
        self.note({**self.points[-1].held, **new}, mark)

    def end(self):
        held = self.points[-1].held
        chosen = self.chance.sample(sorted(held), min(len(held), 3))
        self.keeper.commit(Changes(done={self.first_of[first]: "confirmed" for first in chosen}))
        self.note({first: rows for first, rows in held.items() if first not in chosen})

    def reopen(self):
        self.keeper.close()
        self.open()
        self.note(self.points[-1].held)


@pytest.fixture
def small_wal(monkeypatch):
    monkeypatch.setattr(room_module, "RESERVE_BYTES", 4 << 10)
    monkeypatch.setattr(room_module, "WAL_BYTES", 256 << 10)  # a checkpoint every few commits


def recorded(folder, seed, steps):
    with watched() as door:
        work = Workload(folder, door, seed)
        points = work.live(steps)
        assert work.keeper.fault is None
        return list(door.log), points


def check(folder, files, before, after):
    """Open what is left: all that both points hold must be there, and nothing that neither does."""
    one = keeper(lay_out(files, folder))
    assert one.fault is None
    found = {numbers(held)[0]: numbers(held) for lane in range(3) for held in readable(one, lane) if numbers(held)}
    assert {first: rows for first, rows in before.held.items() if first in after.held}.items() <= found.items()
    assert found.items() <= {**before.held, **after.held}.items()
    mark = one.store.tables.marks.get(MARK, b"")
    assert mark in {before.mark, after.mark}
    if mark == after.mark != before.mark:  # a mark is never durable before its rows
        assert after.held.keys() - before.held.keys() <= found.keys()
    assert_account_closes(one.store)
    assert one.store._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    one.close()


def cut_everywhere(quick_path, *, seed, steps, stride):
    log, points = recorded(quick_path / "live", seed, steps)
    chance, medium, count = random.Random(seed), Medium(), 0
    for entry in log[: points[0].at]:
        medium.take(entry)
    for before, after in pairwise(points):
        for at in range(before.at, after.at):
            medium.take(log[at])
            if at % stride == 0:
                check(quick_path / "cut", medium.cut(HOW[count % len(HOW)], chance), before, after)
                shutil.rmtree(quick_path / "cut")
                count += 1
    return count


def test_after_a_power_cut_at_any_point_every_committed_batch_is_there(quick_path, small_wal):
    assert cut_everywhere(quick_path, seed=1, steps=40, stride=7) > 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_after_a_power_cut_at_every_single_point_every_committed_batch_is_there(quick_path, small_wal, seed):
    assert cut_everywhere(quick_path, seed=seed, steps=60, stride=1) > 1000


def lose_one_sync(folder, broken: int) -> bool:
    """Live with one sync that fails, then cut the power; tell whether there were so many syncs."""
    syncs = count(1)
    with watched() as door:
        work = Workload(folder, door, seed=broken)
        door.fail = lambda call: SYNC_FAILED if call.what == "sync" and next(syncs) == broken else 0
        work.live(12)
        work.keeper.open()
        assert work.keeper.fault is None
        work.note(work.points[-1].held)
    medium = Medium()
    for entry in door.log:
        medium.take(entry)
    check(folder.with_name(f"{folder.name}-cut"), medium.cut("nothing", random.Random(0)), *work.points[-1:] * 2)
    return next(syncs) > broken + 1


def test_a_sync_that_failed_is_not_believed_when_the_next_one_succeeds(quick_path, small_wal):
    """What such a sync was to make durable is on the disk only if it is written again (fsync(2) on Linux)."""
    broken = next(number for number in count(1) if not lose_one_sync(quick_path / str(number), number))
    assert broken > 15
