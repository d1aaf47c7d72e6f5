"""Damaged files: set aside, never deleted, salvaged over their holes; rot is found batch by batch."""

import random
import sqlite3
from contextlib import closing

import pytest
from parts.buffers import assert_account_closes, details, keeper, numbers, put, readable, salvage, sealed, sums
from parts.disks import CORRUPT, sqlite_error

from agent.buffer import damage, pages, read
from agent.buffer import room as room_module
from agent.buffer.rows import Changes, NotRead
from agent.buffer.salvage import _mark, _take, read_over_holes

PAGE = 4096


def filled(folder, batches=200, confirmed=20):
    """A closed store of some batches, the first ones confirmed; its file and the numbers that are held."""
    one = keeper(folder)
    held = []
    for first in range(0, batches * 10, 10):
        one.seal(sealed(first, 10, text="x" * (first % 97)))
    held = one.commit(Changes(marks={("log", "at"): b"7"}))
    one.commit(Changes(done={batch.key: "confirmed" for batch in held[:confirmed]}))
    one.close()
    return folder / "buffer.db", [number for batch in held[confirmed:] for number in numbers(batch)]


def pages_of(file):
    return file.stat().st_size // PAGE


def overwrite(file, page, data=b"\xff" * PAGE):
    with file.open("r+b") as raw:
        raw.seek(page * PAGE)
        raw.write(data)


def test_a_rotten_batch_is_set_aside_and_declared_and_the_lane_goes_on(tmp_path):
    one = keeper(tmp_path)
    held = [put(one, first)[0] for first in (0, 10, 20)]
    one.store._db.execute("UPDATE batch SET body = zeroblob(size - length(head)) WHERE id = ?", (held[1].key,))
    assert numbers(readable(one)) == [0, 1, 20, 21]
    assert NotRead.GONE is read.fetch(one, held[1].key)
    one.commit(Changes())
    (detail,) = details(readable(one, 0), "dropped")
    assert (detail["reason"], detail["first_seq"], detail["last_seq"], detail["rows"]) == ("rot", 2, 2, 2)
    assert one.store.tables.lanes[1].parked == 1
    assert sums(one.store.tables.account)["log"] == {"received": 6, "dropped": 2}
    assert_account_closes(one.store)


def test_a_batch_that_is_fetched_rotten_is_set_aside_too(tmp_path):
    one = keeper(tmp_path)
    (held,) = put(one)
    one.store._db.execute("UPDATE batch SET head = x'00' WHERE id = ?", (held.key,))
    assert NotRead.ROT is read.fetch(one, held.key)
    assert sums(one.store.tables.account)["log"] == {"received": 2, "dropped": 2}
    assert_account_closes(one.store)


@pytest.mark.parametrize("kind", ["no database", "empty pages", "text"])
def test_a_file_that_is_no_store_any_more_is_set_aside_and_a_new_one_begun(tmp_path, kind):
    file, _ = filled(tmp_path)
    content = {"no database": b"\xff" * 9000, "empty pages": bytes(9000), "text": b"hello\n" * 1000}[kind]
    file.write_bytes(content)
    one = keeper(tmp_path)
    assert one.fault is None
    put(one, 5000)
    assert numbers(readable(one)) == [5000, 5001]
    (aside,) = damage.waiting(tmp_path)
    assert aside.read_bytes() == content
    salvage(one)
    assert damage.waiting(tmp_path) == []
    (aside,) = tmp_path.glob("*.salvaged")
    assert aside.read_bytes() == content
    assert_account_closes(one.store)


def test_batches_around_a_corrupt_page_are_salvaged_and_the_rest_is_counted_and_declared(tmp_path):
    file, expected = filled(tmp_path)
    leaf = pages_of(file) // 2
    overwrite(file, leaf)
    one = keeper(tmp_path)
    while one.fault is None and not damage.waiting(tmp_path):  # found when the reading comes to it
        readable(one)
        put(one, 9000)
    one.tick()
    assert one.fault is None
    salvage(one)
    one.commit(Changes())
    found = [number for number in numbers(readable(one)) if number < 9000]
    assert sorted(found) == found
    assert set(found) < set(expected)
    assert len(found) > len(expected) * 0.8
    lost = len(expected) - len(found)
    declared = details(readable(one, 0), "dropped")
    assert sum(entry["rows"] for entry in declared if entry["reason"] == "corrupt") == lost
    assert one.store.tables.account["gw-1", "log", "dropped:corrupt"][0] == lost
    assert one.store.tables.marks["log", "at"] == b"7"
    assert_account_closes(one.store)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_a_truncated_file_gives_what_is_left_of_it(tmp_path, keep):
    file, expected = filled(tmp_path, batches=1000)
    with file.open("r+b") as raw:
        raw.truncate(int(pages_of(file) * keep) * PAGE)
    one = keeper(tmp_path)
    readable(one)
    put(one, 90_000)
    one.tick()
    assert one.fault is None
    salvage(one)
    one.commit(Changes())
    found = set(numbers(readable(one))) - {90_000, 90_001}
    assert found <= set(expected)
    assert len(found) > (keep - 0.15) * len(expected)
    lost = len(expected) - len(found)
    assert sum(entry["rows"] for entry in details(readable(one, 0), "dropped")) == lost
    assert_account_closes(one.store)
    assert one.store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def root_of(file, table):
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]


@pytest.mark.parametrize("size", [0, 3_000, 40_000], ids=["small", "a page", "overflow pages"])
def test_a_damaged_page_at_the_root_hides_nothing(tmp_path, size):
    """Every batch is still there, and no tree leads to it."""
    one = keeper(tmp_path)
    noise = random.Random(1).randbytes(size).hex()
    held = [put(one, first, text=f"{first}{noise}")[0] for first in range(0, 1000, 10)]
    one.commit(Changes(done={batch.key: "confirmed" for batch in held[:7]}))
    one.close()
    overwrite(tmp_path / "buffer.db", root_of(tmp_path / "buffer.db", "batch") - 1)
    two = keeper(tmp_path)
    readable(two)
    two.tick()
    salvage(two)
    assert sorted(numbers(readable(two))) == numbers(held[7:])
    assert sums(two.store.tables.account)["log"] == {"received": 200, "confirmed": 14}
    assert_account_closes(two.store)


def test_page_by_page_takes_any_bytes(tmp_path):
    chance = random.Random(5)
    file, _ = filled(tmp_path)
    content = bytearray(file.read_bytes())
    for _ in range(300):
        at = chance.randrange(0, len(content) - 8)
        content[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(1, 8))
    file.write_bytes(content[: chance.randrange(len(content))])
    with pages.pages_of(file) as found:
        assert found.free() is not None
        assert sum(len(list(pages.rows_on(found, index))) for index in range(len(found))) > 0


def test_a_salvage_that_is_interrupted_goes_on_where_it_was(tmp_path):
    _, expected = filled(tmp_path)
    one = keeper(tmp_path)
    one.fail(sqlite_error(CORRUPT))
    one.tick()
    (aside,) = damage.waiting(tmp_path)
    with closing(sqlite3.connect(aside)) as db:  # the first half only
        half = db.execute("SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 90").fetchone()[0]
    with closing(damage.connect(aside)) as db:
        group = [held for held in read_over_holes(db, 0, []) if held.key <= half]
    assert _take(one, aside, group, reached=half)
    assert one.store.tables.marks[_mark(aside)]
    one.close()
    two = keeper(tmp_path)
    salvage(two)
    assert numbers(readable(two)) == expected
    assert_account_closes(two.store)
    assert sums(two.store.tables.account)["log"] == {"received": 2000, "confirmed": 200}


def test_a_store_found_damaged_while_running_goes_on_under_its_keys_and_its_account(tmp_path):
    one = keeper(tmp_path)
    held = [put(one, first)[0] for first in (0, 10, 20)]
    one.commit(Changes(done={held[0].key: "confirmed"}))
    one.fail(sqlite_error(CORRUPT))
    put(one, 30)
    assert one.fault is None  # a new store at once
    salvage(one)
    assert numbers(readable(one)) == [10, 11, 20, 21, 30, 31]
    keys = [batch.key for batch in readable(one)]
    assert keys[:2] == [held[1].key, held[2].key]
    assert sums(one.store.tables.account)["log"] == {"received": 8, "confirmed": 2}
    assert_account_closes(one.store)


def lay_beside(file, wal):
    """A file and a WAL that was not made with it."""
    target = file.with_name("buffer.db-wal")
    target.write_bytes(wal)
    return keeper(file.parent)


def test_a_wal_of_another_store_does_not_hide_what_the_file_holds(tmp_path):
    file, expected = filled(tmp_path / "a")
    other = keeper(tmp_path / "b")
    put(other, 5000, 500)
    one = lay_beside(file, (tmp_path / "b" / "buffer.db-wal").read_bytes())
    assert one.fault is None
    put(one, 9000)
    salvage(one)
    assert sorted(numbers(readable(one))) == sorted([*expected, *range(5000, 5500), 9000, 9001])
    assert_account_closes(one.store)


def test_an_older_file_beside_a_newer_wal_is_no_store_but_gives_its_batches(tmp_path):
    """As a backup leaves it that copied the file, and its WAL some checkpoints later."""
    one = keeper(tmp_path / "a")
    for first in range(0, 100, 10):
        put(one, first, 10)
    one.store.checkpoint("PASSIVE")
    backup = (tmp_path / "a" / "buffer.db").read_bytes()
    for first in range(100, 300, 100):
        put(one, first, 50)
        one.store.checkpoint("PASSIVE")
        put(one, first + 50, 50)
    wal = (tmp_path / "a" / "buffer.db-wal").read_bytes()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "buffer.db").write_bytes(backup)
    two = lay_beside(tmp_path / "b" / "buffer.db", wal)
    assert len(damage.waiting(tmp_path / "b")) == 1
    salvage(two)
    found = numbers(readable(two))
    assert set(range(100)) | set(range(250, 300)) <= set(found)
    assert len(found) == len(set(found))
    assert_account_closes(two.store)


def test_a_file_copied_before_its_wal_without_a_checkpoint_between_is_whole(tmp_path):
    one = keeper(tmp_path / "a")
    put(one, 0, 10)
    one.store.checkpoint("PASSIVE")
    put(one, 10, 10)
    backup = (tmp_path / "a" / "buffer.db").read_bytes()
    put(one, 20, 10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "buffer.db").write_bytes(backup)
    two = lay_beside(tmp_path / "b" / "buffer.db", (tmp_path / "a" / "buffer.db-wal").read_bytes())
    assert damage.waiting(tmp_path / "b") == []
    assert numbers(readable(two)) == list(range(30))


def test_a_torn_wal_loses_only_the_commits_that_were_torn(tmp_path, monkeypatch):
    monkeypatch.setattr(room_module, "RESERVE_BYTES", PAGE)
    one = keeper(tmp_path / "a")
    for first in range(0, 100, 10):
        put(one, first, 10)
    wal = (tmp_path / "a" / "buffer.db-wal").read_bytes()
    before = -1
    for cut in range(0, len(wal), 2000):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "buffer.db").write_bytes((tmp_path / "a" / "buffer.db").read_bytes())
        (folder / "buffer.db-wal").write_bytes(wal[:cut] + bytes(min(3000, len(wal) - cut)))
        two = keeper(folder)
        found = numbers(readable(two))
        assert found == list(range(len(found)))
        assert len(found) >= before
        before = len(found)
        assert_account_closes(two.store)
        two.close()


@pytest.mark.parametrize("whose", ["a later edgepost's", "another program's"])
def test_a_file_that_is_whole_but_not_ours_is_left_alone(tmp_path, whose):
    file = tmp_path / "buffer.db"
    if whose == "a later edgepost's":
        filled(tmp_path)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA user_version=99" if file.stat().st_size else "CREATE TABLE mail(id, body)")
    content = file.read_bytes()
    one = keeper(tmp_path)
    assert one.fault.state == "wrong-file"
    put(one, 0)
    assert numbers(readable(one)) == [0, 1]
    one.close()
    assert file.read_bytes() == content
