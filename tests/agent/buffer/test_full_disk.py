"""A real small file system, filled to its last byte by somebody else."""

import os
import random
import shutil

import pytest
from parts.buffers import assert_account_closes, details, keeper, numbers, readable, sealed
from parts.disks import MIB, fill_disk, free_disk, remount, small_disk

from agent.buffer import StoreHeld, lock
from agent.buffer.rows import Changes

NOISE = random.Random(3).randbytes(50_000).hex()

pytestmark = pytest.mark.root


def fill(one, count, *, start=0, lane=1):
    for number in range(start, start + count * 10, 10):
        one.seal(sealed(number, 2, lane=lane, text=f"{number}{NOISE}"))
        one.commit(Changes())


def expected(count, start=0):
    return [number for first in range(start, start + count * 10, 10) for number in (first, first + 1)]


def test_on_a_full_disk_batches_are_held_in_memory_and_nothing_is_lost(tmp_path):
    """A store below its floor of 16 MiB evicts nothing: it gives the reserve up, then memory takes what comes."""
    with small_disk(tmp_path / "disk", 96) as disk:
        one = keeper(disk)
        fill(one, 20)
        fill_disk(disk)
        fill(one, 100, start=1000)
        fill_disk(disk)
        fill(one, 100, start=4000)
        assert one.fault.state == "full"
        assert len(one.memory) > 0
        assert numbers(readable(one)) == expected(20) + expected(100, 1000) + expected(100, 4000)
        free_disk(disk)
        one.open()
        assert one.fault is None
        assert len(one.memory) == 0
        assert numbers(readable(one)) == expected(20) + expected(100, 1000) + expected(100, 4000)
        assert_account_closes(one.store)
        one.close()


def test_on_a_full_disk_custody_still_ends_and_its_room_is_used_again(tmp_path):
    with small_disk(tmp_path / "disk", 96) as disk:
        one = keeper(disk)
        fill(one, 40)
        fill_disk(disk)
        for _ in range(20):
            fill(one, 10, start=1000)
            one.commit(Changes(done={held.key: "confirmed" for held in readable(one)}))
        free_disk(disk)
        one.open()
        assert readable(one) == []
        assert_account_closes(one.store)
        one.close()


def test_a_store_larger_than_its_floor_evicts_on_a_full_disk_and_stays_durable(tmp_path):
    """What is urgent stays below its share, so what is normal and above its own goes for it, declared to the row."""
    with small_disk(tmp_path / "disk", 160) as disk:
        one = keeper(disk)
        fill(one, 700)
        assert (disk / "reserve").exists()
        fill_disk(disk)
        fill(one, 100, start=10_000, lane=0)
        fill_disk(disk)
        fill(one, 50, start=20_000, lane=0)
        assert one.fault is None
        urgent = readable(one, 0)
        assert numbers(urgent) == expected(100, 10_000) + expected(50, 20_000)
        declared = details(urgent, "evicted")
        assert {(entry["lane"], entry["reason"]) for entry in declared} == {("normal", "disk-full")}
        gone = sum(entry["rows"] for entry in declared)
        assert gone > 0
        assert numbers(readable(one)) == expected(700)[gone:]
        assert_account_closes(one.store)
        free_disk(disk)
        one.close()


def test_the_reserve_is_given_up_when_the_disk_is_full_and_made_again_when_it_is_not(tmp_path):
    with small_disk(tmp_path / "disk", 160) as disk:
        one = keeper(disk)
        fill(one, 1)
        assert (disk / "reserve").stat().st_size == 16 * MIB
        fill_disk(disk)
        fill(one, 100, start=1000)
        assert not (disk / "reserve").exists()
        assert one.fault is None
        free_disk(disk)
        fill(one, 1, start=9000)
        assert (disk / "reserve").stat().st_size == 16 * MIB
        one.close()


def test_a_store_begun_on_a_full_disk_starts_in_memory_and_reaches_the_disk_later(tmp_path):
    with small_disk(tmp_path / "disk", 32) as disk:
        fill_disk(disk)
        one = keeper(disk)
        fill(one, 10)
        assert one.fault.state == "full"
        assert numbers(readable(one)) == expected(10)
        free_disk(disk)
        one.open()
        assert one.fault is None
        assert numbers(readable(one)) == expected(10)
        one.close()
        assert numbers(readable(keeper(disk))) == expected(10)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_on_a_disk_that_is_read_only_the_backlog_is_still_read_and_what_comes_waits_in_memory(tmp_path, is_killed):
    """After a stop the file is whole by itself; after a kill its newest commits are in the WAL."""
    with small_disk(tmp_path / "disk", 96) as disk:
        one = keeper(disk)
        fill(one, 10)
        if is_killed:
            store = one.store._db
            shutil.copytree(disk, tmp_path / "copy")
            store.close()
            shutil.copytree(tmp_path / "copy", disk, dirs_exist_ok=True)
            assert (disk / "buffer.db-wal").stat().st_size > 0
        else:
            one.close()
        remount(disk, "ro")
        two = keeper(disk)
        fill(two, 5, start=1000)
        assert two.fault.state == "read-only"
        assert numbers(readable(two)) == expected(10) + expected(5, 1000)
        two.commit(Changes(done={readable(two)[0].key: "confirmed"}))
        remount(disk, "rw")
        two.open()
        assert two.fault is None
        assert numbers(readable(two)) == expected(10)[2:] + expected(5, 1000)
        assert_account_closes(two.store)
        two.close()


def test_a_read_only_disk_has_one_agent_too(tmp_path):
    with small_disk(tmp_path / "disk", 32) as disk:
        keeper(disk).close()
        os.close(lock.hold(disk))
        remount(disk, "ro")
        held = lock.hold(disk)
        with pytest.raises(StoreHeld):
            lock.hold(disk)
        os.close(held)


def test_a_store_that_is_opened_on_a_full_disk_gives_its_reserve_up_and_goes_on(tmp_path):
    """Even forgetting old epochs, which every opening does, needs a little room."""
    with small_disk(tmp_path / "disk", 160) as disk:
        one = keeper(disk)
        fill(one, 10)
        one.commit(Changes(done={held.key: "confirmed" for held in readable(one)}))
        one.close()
        one = keeper(disk)
        fill(one, 10)
        one.close()
        fill_disk(disk)
        two = keeper(disk)
        fill(two, 10, start=1000)
        assert two.fault is None
        assert not (disk / "reserve").exists()
        assert numbers(readable(two)) == expected(10) + expected(10, 1000)
        free_disk(disk)
        two.close()
