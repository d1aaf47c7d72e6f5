"""Every call that SQLite makes to the file system fails in turn, once or until the disk is mended; nothing is lost.

The list of `parts/custody.py` knows what must be there. A test goes on to the next call until the workload has made
fewer, so no call is left out, whichever SQLite makes.
"""

import os
import shutil
from itertools import count

import pytest
from parts.custody import Custody
from parts.disks import CANTOPEN, FULL, SYNC_FAILED, WRITE_FAILED, probe_that_says
from parts.vfs import DELETE_FAILED, READ_FAILED, TRUNCATE_FAILED, Call, watched

from agent.buffer import faults
from agent.buffer import keeper as keeper_module
from agent.buffer import room as room_module

FAILURES = {  # what the kernel says → what SQLite's unix layer makes of it, for each call that can meet it
    "ENOSPC": {"write": FULL},
    "EDQUOT": {"write": WRITE_FAILED, "sync": SYNC_FAILED},  # over NFS a quota is met by the sync
    "EIO": {
        "open": CANTOPEN,
        "read": READ_FAILED,
        "write": WRITE_FAILED,
        "sync": SYNC_FAILED,
        "truncate": TRUNCATE_FAILED,
        "delete": DELETE_FAILED,
    },
    "EROFS": {"open": CANTOPEN, "write": WRITE_FAILED, "truncate": TRUNCATE_FAILED, "delete": DELETE_FAILED},
}
STATE = {
    "ENOSPC": {"full"},
    "EDQUOT": {"full"},
    "EIO": {"io-error", "unopenable"},
    "EROFS": {"read-only", "unopenable"},
}


class Disk:
    """Fails from its `first` call on: for good, or that one alone."""

    def __init__(self, error: str, first: int, *, is_lasting: bool) -> None:
        self.error = error
        self.is_lasting = is_lasting
        self.left = first
        self.is_broken = False
        self.has_failed = False

    def __call__(self, call: Call) -> int:
        code = FAILURES[self.error].get(call.what, 0)
        if code and not self.has_failed:
            self.left -= 1
            self.is_broken = self.left == 0
        if not self.is_broken or not code:
            return 0
        self.has_failed, self.is_broken = True, self.is_lasting
        return code


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(keeper_module, "REOPEN_SECONDS", 3600.0)  # the test says when the disk is tried again
    monkeypatch.setattr(room_module, "WAL_BYTES", 64 << 10)  # so that checkpoints are among the calls
    monkeypatch.setattr(room_module, "RESERVE_BYTES", 4 << 10)


def work(one: Custody) -> None:
    """A bit of everything: commits in all lanes, ends, a parked batch, a new epoch, backlog read, a reopening."""
    noise = os.urandom(2_000).hex()
    for lane in (1, 0, 2):
        one.commit(lane=lane, batches=3, text=noise)
        one.walk(lane)
    one.end([0, 6])
    one.park(2)
    one.keeper.draw_epoch()
    one.commit(lane=1, batches=12, text=noise)
    one.keeper.open()
    one.walk(1)
    one.commit(lane=0)
    one.end([4, 8, 12], "dropped:rejected-limit")


def live(folder, monkeypatch, disk: Disk) -> bool:
    """Work on a disk that breaks, mend it, look; tell whether it broke."""
    with watched() as door, monkeypatch.context() as patch:
        one = Custody(folder)
        one.commit()
        one.keeper.close()  # so that the workload opens a store with a backlog
        if disk.error != "EIO":
            patch.setattr(faults.os, "open", probe_that_says(disk.error, lambda: disk.is_broken))
        door.fail, door.tears = disk, True
        one.again()
        work(one)
        if disk.is_broken:
            one.commit()  # whatever broke last, a commit meets it
            assert one.keeper.fault is not None
            assert one.keeper.fault.state in STATE[disk.error], one.keeper.fault
        door.fail = lambda _: 0
        disk.is_broken = False
        one.keeper.open()
        assert one.keeper.fault is None
        one.check()
        one.commit()
        one.reopen()
        one.check()
        one.keeper.close()
    shutil.rmtree(folder)
    return disk.has_failed


def live_through(quick_path, monkeypatch, error: str, *, is_lasting: bool, stride: int) -> int:
    for number in count(1, stride):
        if not live(quick_path / str(number), monkeypatch, Disk(error, number, is_lasting=is_lasting)):
            return number
    raise AssertionError


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("error", list(FAILURES))
def test_whichever_call_fails_nothing_is_lost_and_nothing_doubled(quick_path, monkeypatch, patient, error, is_lasting):
    assert live_through(quick_path, monkeypatch, error, is_lasting=is_lasting, stride=13) > 50


@pytest.mark.soak
@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("error", list(FAILURES))
def test_every_single_call_fails_in_turn(quick_path, monkeypatch, patient, error, is_lasting):
    assert live_through(quick_path, monkeypatch, error, is_lasting=is_lasting, stride=1) > 50
