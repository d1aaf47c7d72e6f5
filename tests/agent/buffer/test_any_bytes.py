"""A store's file with any bytes changed is a state of the disk: never a crash, and soon a store again."""

import random
import sqlite3
from contextlib import closing

import pytest
from parts.buffers import keeper, numbers, put, readable, salvage
from parts.custody import is_sound
from parts.disks import CORRUPT, sqlite_error

from agent.buffer import damage
from agent.buffer import room as room_module
from agent.buffer.faults import WRONG_FILE
from agent.buffer.rows import Changes

PAGE = 4096


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(room_module, "RESERVE_BYTES", PAGE)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a store with a bit of everything in it, and of its WAL."""
    folder = tmp_path_factory.mktemp("store")
    one = keeper(folder)
    chance = random.Random(1)
    held = [
        put(one, first, 3, lane=first // 10 % 3, text=chance.randbytes(chance.choice([5, 900, 6_000])).hex())[0]
        for first in range(0, 600, 10)
    ]
    one.commit(Changes(done={batch.key: "confirmed" for batch in held[::4]}, marks={("log", "at"): b"7"}))
    one.park(held[1].key, "lost alone")
    one.close()
    two = keeper(folder)
    put(two, 600)
    put(two, 610)
    return [(folder / name).read_bytes() for name in ("buffer.db", "buffer.db-wal")]


def change(data, chance):
    """Flip bits, write nonsense, zero or swap pages, or cut the end."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 3, 30])):
        kind = chance.choice(["flip", "flip", "bytes", "zero", "swap"])
        at = chance.randrange(len(data) - PAGE)
        page = at - at % PAGE
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "bytes":
            data[at : at + 16] = chance.randbytes(16)
        elif kind == "zero":
            data[page : page + PAGE] = bytes(PAGE)
        else:
            other = chance.randrange(len(data) // PAGE) * PAGE
            data[page : page + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[page : page + PAGE]
    return bytes(data[: chance.randrange(PAGE, len(data))] if chance.random() < 0.1 else data)


def live_on(folder, content, seed):
    chance = random.Random(seed)
    file, wal = content
    folder.mkdir()
    (folder / "buffer.db").write_bytes(change(file, chance))
    if chance.random() < 0.5:
        (folder / "buffer.db-wal").write_bytes(change(wal, chance) if chance.random() < 0.5 else wal)
    one = keeper(folder)
    for lane in range(3):
        for held in readable(one, lane):
            if chance.random() < 0.3:
                one.commit(Changes(done={held.key: "confirmed"}))
            elif chance.random() < 0.1:
                one.park(held.key, "lost alone")
        put(one, 1000 + lane, 1, lane=lane)
    one.tick()
    if one.fault is not None and one.fault.state == WRONG_FILE:
        return  # its number of the format was met, and nobody can tell
    if one.store is None or not is_sound(one.store):
        one.fail(sqlite_error(CORRUPT))
        one.tick()
    assert one.fault is None
    was_whole = not damage.waiting(folder)
    if not was_whole:
        salvage(one)
    for lane in range(3):
        put(one, 2000 + lane, 1, lane=lane)
    found = {number for lane in range(3) for number in numbers(readable(one, lane))}
    assert {2000, 2001, 2002} <= found
    assert {1000, 1001, 1002} <= found or not was_whole  # what was written into a damaged file may be lost with it
    one.close()


@pytest.mark.parametrize("start", range(0, 150, 30))
def test_whatever_became_of_the_file_the_agent_lives_on(quick_path, content, start):
    for seed in range(start, start + 30):
        live_on(quick_path / str(seed), content, seed)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(1_000, 31_000, 1_000))
def test_whatever_became_of_the_file_the_agent_lives_on_thousands_of_times(quick_path, content, start):
    for seed in range(start, start + 1_000):
        live_on(quick_path / str(seed), content, seed)


@pytest.mark.parametrize(
    "nonsense",
    [
        "UPDATE lane SET next = 'many' WHERE lane = 1",
        "UPDATE lane SET bytes = 1 << 62",
        "DELETE FROM lane WHERE lane = 2",
        "UPDATE account SET rows = x'00'",
        "UPDATE account SET stream = CAST(x'ff' AS TEXT)",
        "UPDATE mark SET value = 3",
        "UPDATE epoch SET id = 'no bytes'",
        "UPDATE span SET base = 1.5",
        "UPDATE batch SET epoch_n = 999 WHERE seq = 3",
        "UPDATE batch SET size = 1 << 61 WHERE seq = 3",
        "UPDATE batch SET head = 'text' WHERE seq = 3",
        "UPDATE batch SET stream = CAST(x'ff' AS TEXT) WHERE seq = 3",
    ],
)
def test_a_table_that_reads_and_makes_no_sense_is_damage_and_its_batches_are_salvaged(tmp_path, nonsense):
    one = keeper(tmp_path)
    for first in range(0, 100, 10):
        put(one, first)
    one.close()
    with closing(sqlite3.connect(tmp_path / "buffer.db")) as db, db:
        db.execute("PRAGMA ignore_check_constraints=ON")
        assert db.execute(nonsense).rowcount > 0
    two = keeper(tmp_path)
    found = readable(two)
    two.tick()
    two.room.measure(two.store)
    two.commit(Changes(done={held.key: "confirmed" for held in found}))
    two.tick()
    assert two.fault is None
    salvage(two)
    left = [held for held in readable(two) if held.stream == "log"]
    lost = {20, 21} if "head" in nonsense else set()
    whole = {number + row for number in range(0, 100, 10) for row in (0, 1)} - lost
    assert {number for held in (*found, *left) for number in numbers(held)} == whole
