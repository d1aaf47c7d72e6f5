"""Limits: who is evicted, in which order, and that every eviction is declared and counted."""

import random

from parts.buffers import assert_account_closes, details, keeper, numbers, sealed, sums

from agent.buffer import read
from agent.buffer import room as room_module
from agent.buffer.reserve import Disk, Reserve, disk_of
from agent.buffer.rows import Changes

MIB = 1 << 20
NOISE = random.Random(1).randbytes(50_000).hex()  # compresses to its half, once a batch


def fill(one, count, *, lane=1, start=0):
    """Commit batches of 2 rows and 50 kB each, four a commit."""
    for first in range(start, start + count * 10, 40):
        for number in range(first, min(first + 40, start + count * 10), 10):
            one.seal(sealed(number, 2, lane=lane, text=f"{number}{NOISE}"))
        one.commit(Changes())


def lanes_of(one):
    return [row.bytes for row in one.store.tables.lanes]


def test_the_store_never_takes_more_than_its_limit(tmp_path):
    one = keeper(tmp_path, limit_bytes=16 * MIB)
    fill(one, 600)
    one.room.measure(one.store)
    assert one.room.live_bytes <= 16 * MIB
    assert (tmp_path / "buffer.db").stat().st_size <= 18 * MIB
    assert one.room.wal_bytes <= 9 * MIB
    assert_account_closes(one.store)


def test_the_oldest_go_first_and_every_one_is_declared_with_its_rows(tmp_path):
    one = keeper(tmp_path, limit_bytes=16 * MIB)
    gone = []
    one.on_evicted = gone.extend
    fill(one, 600)
    left = read.read(one, 1, after=0, limit_bytes=100 * MIB)
    assert gone == sorted(gone)
    assert len(gone) + len(left) == 600
    assert numbers(left)[-1] == 5991
    declared = details(read.read(one, 0, after=0, limit_bytes=100 * MIB), "evicted")
    assert {entry["reason"] for entry in declared} == {"limit"}
    assert sum(entry["rows"] for entry in declared) == 2 * len(gone)
    seqs = [seq for entry in declared for seq in range(entry["first_seq"], entry["last_seq"] + 1)]
    assert seqs == list(range(1, len(gone) + 1))
    assert all(entry["first_ns"] <= entry["last_ns"] for entry in declared)
    assert sums(one.store.tables.account)["log"]["dropped"] == 2 * len(gone)


def test_the_lowest_lane_above_its_share_is_evicted_first(tmp_path):
    one = keeper(tmp_path, limit_bytes=32 * MIB)
    fill(one, 150, lane=2)
    fill(one, 150, lane=1, start=10_000)
    fill(one, 400, lane=0, start=20_000)
    urgent, normal, bulk = lanes_of(one)
    assert 2.5 * MIB < bulk < 4 * MIB  # 10 % of 32 MiB, its guaranteed share
    assert normal > 7 * MIB  # below its share of 40 %: untouched
    assert urgent < 22 * MIB
    assert_account_closes(one.store)


def test_bulk_alone_may_take_all_the_room_there_is(tmp_path):
    one = keeper(tmp_path, limit_bytes=16 * MIB)
    fill(one, 300, lane=2)
    assert lanes_of(one)[2] > 10 * MIB


def test_what_is_in_flight_is_never_evicted(tmp_path):
    in_flight = {1 << 48 | n for n in (1, 3, 50)}
    one = keeper(tmp_path, limit_bytes=16 * MIB, in_flight=in_flight)
    fill(one, 600)
    left = {held.key for held in read.read(one, 1, after=0, limit_bytes=100 * MIB)}
    assert in_flight <= left
    assert_account_closes(one.store)


def test_a_rotten_batch_that_is_evicted_is_not_declared_twice(tmp_path):
    one = keeper(tmp_path, limit_bytes=16 * MIB)
    fill(one, 4)
    one.store._db.execute("UPDATE batch SET digest = zeroblob(16) WHERE id = ?", (1 << 48 | 2,))
    read.read(one, 1, after=0, limit_bytes=MIB)
    fill(one, 600, start=1000)
    rows = read.read(one, 0, after=0, limit_bytes=100 * MIB)
    assert [entry["first_seq"] for entry in details(rows, "dropped")] == [2]
    assert all(not entry["first_seq"] <= 2 <= entry["last_seq"] for entry in details(rows, "evicted"))
    assert_account_closes(one.store)


def test_below_keep_free_the_store_reuses_its_pages_and_does_not_grow(tmp_path, monkeypatch):
    one = keeper(tmp_path, limit_bytes=64 * MIB)
    fill(one, 400)
    one.store.checkpoint("TRUNCATE")
    size = (tmp_path / "buffer.db").stat().st_size
    assert size > 17 * MIB
    monkeypatch.setattr(room_module, "disk_of", lambda _: Disk(1 << 40, 10 * MIB))
    fill(one, 400, start=10_000)
    one.store.checkpoint("TRUNCATE")
    assert (tmp_path / "buffer.db").stat().st_size <= size + 5 * MIB
    rows = read.read(one, 0, after=0, limit_bytes=100 * MIB)
    assert {entry["reason"] for entry in details(rows, "evicted")} == {"disk-full"}
    assert_account_closes(one.store)


def test_however_full_the_disk_a_small_store_may_grow_to_its_floor(tmp_path, monkeypatch):
    monkeypatch.setattr(room_module, "disk_of", lambda _: Disk(1 << 40, MIB))
    one = keeper(tmp_path)
    fill(one, 100)
    assert details(read.read(one, 0, after=0, limit_bytes=100 * MIB), "evicted") == []


def test_a_reserve_is_kept_beside_the_store_and_not_where_there_is_no_room(tmp_path):
    keeper(tmp_path)
    assert (tmp_path / "reserve").stat().st_size == 16 * MIB
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 16 * MIB
    other = tmp_path / "other"
    other.mkdir()
    reserve = Reserve(other, 16 * MIB)
    reserve.keep(Disk(1 << 40, 79 * MIB), keep_free=64 * MIB)
    assert reserve.size == 0
    reserve.keep(Disk(1 << 40, 80 * MIB), keep_free=64 * MIB)
    assert reserve.size == 16 * MIB


def test_hours_left_count_the_room_and_what_lower_lanes_would_give(tmp_path):
    one = keeper(tmp_path, limit_bytes=100 * MIB)
    one.room.measure(one.store)
    room = 100 * MIB - one.room.live_bytes - 4 * MIB
    hours = one.room.hours_left([0, 0, 30 * MIB], 1000.0)
    assert [round(value * 3_600_000) for value in hours] == [room + 20 * MIB, room + 20 * MIB, room]
    assert one.room.hours_left([0, 0, 0], 0.0) == [None, None, None]


def test_the_disk_is_asked_in_bytes(tmp_path):
    disk = disk_of(tmp_path)
    assert disk.size > disk.free > 0
