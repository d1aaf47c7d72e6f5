"""When the disk comes back: what waited is written, in an order that loses nothing, and readers miss nothing.

Most of these were once wrong.
"""

import subprocess
import sys
import time
from contextlib import closing

import pytest
from parts.buffers import assert_account_closes, details, keeper, numbers, put, readable, salvage, sealed, sums
from parts.disks import CANTOPEN, CORRUPT, FULL, IO, SYNC_FAILED, WRITE_FAILED, Broken, probe_that_says, sqlite_error

from agent.buffer import damage, faults, read
from agent.buffer import read as read_module
from agent.buffer.keeper import Keeper
from agent.buffer.rows import Changes, Held
from agent.buffer.salvage import _take, read_over_holes


@pytest.fixture
def disk():
    return Broken()


class Reader:
    """Stands at a key in each lane and begins again when it is told to."""

    def __init__(self, one: Keeper) -> None:
        self._keeper = one
        self._after = [0, 0, 0]
        one.on_rewound = self._rewind

    def _rewind(self) -> None:
        self._after = [0, 0, 0]

    def next(self, lane: int = 1, *, limit_bytes: int = 1 << 20) -> list[Held]:
        found = read.read(self._keeper, lane, after=self._after[lane], limit_bytes=limit_bytes)
        if found:
            self._after[lane] = found[-1].key
        return found


# --- nothing is passed over -------------------------------------------------------------------------------------------


def test_a_backlog_that_could_not_be_read_is_read_when_the_store_is_open_again(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    reader = Reader(one)
    disk.fail(IO, "begin")
    put(one, 10)
    disk.fail(CANTOPEN)
    one.open()
    assert numbers(reader.next()) == [10, 11]  # the file cannot even be opened, memory can be read
    disk.mend()
    one.open()
    assert numbers(reader.next()) == [0, 1, 10, 11]


def test_a_backlog_that_met_a_read_error_is_read_when_the_disk_can_be_read(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    reader = Reader(one)
    disk.fail(IO, "begin")
    put(one, 10)
    disk.fail(IO, "read")
    assert numbers(reader.next()) == [10, 11]
    disk.mend()
    one.open()
    assert numbers(reader.next()) == [0, 1, 10, 11]


def test_a_reader_that_stands_at_a_blind_key_is_called_back_though_nothing_blind_is_left(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    one.close()
    disk.fail(CANTOPEN)
    two = keeper(tmp_path, step=disk)
    reader = Reader(two)
    put(two, 10)
    (held,) = reader.next()
    two.commit(Changes(done={held.key: "confirmed"}))
    disk.mend()
    two.open()
    assert numbers(reader.next()) == [0, 1]


def test_more_ends_than_may_wait_hold_the_backlog_back_and_do_not_skip_it(tmp_path, disk, monkeypatch):
    one = keeper(tmp_path, step=disk)
    held = [put(one, first)[0] for first in (0, 10, 20)]
    monkeypatch.setattr(read_module, "MAX_WAITING", 1)
    reader = Reader(one)
    disk.fail(IO, "begin")
    put(one, 30)
    one.commit(Changes(done={held[0].key: "confirmed"}))
    assert numbers(reader.next()) == [30, 31]
    disk.mend()
    one.open()
    assert numbers(reader.next()) == [10, 11, 20, 21, 30, 31]


def test_a_batch_that_waits_to_be_parked_does_not_let_memory_run_ahead_of_the_disk(tmp_path, disk):
    """The disk's part of a read was full, all but what had to be left out of it; there was more behind it."""
    one = keeper(tmp_path, step=disk)
    held = [put(one, first)[0] for first in (0, 10, 20)]
    reader = Reader(one)
    disk.fail(IO, "begin")
    one.park(held[0].key, "lost alone")
    put(one, 30)
    limit_bytes = held[0].size + held[1].size
    assert numbers(reader.next(limit_bytes=limit_bytes)) == [10, 11]
    assert numbers(reader.next(limit_bytes=limit_bytes)) == [20, 21, 30, 31]


def test_what_memory_holds_comes_before_what_was_written_later(tmp_path, disk):
    """An eviction at the reopening declares itself on the disk, under a key above those that memory still holds."""
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(IO, "begin")
    put(one, 10, lane=0)
    disk.mend()
    one.store.append(one.names.name([]), Changes())
    later = one.names.name(_packed(one, 20, lane=0))
    one.store.append(later, Changes())
    assert numbers(readable(one, 0)) == [10, 11, 20, 21]


def _packed(one: Keeper, first: int, *, lane: int):
    one.seal(sealed(first, lane=lane))
    packed, one.waiting.packed = one.waiting.packed, []
    return packed


# --- in an order that loses nothing ----------------------------------------------------------------------------------


def test_marks_wait_for_the_rows_that_were_put_before_them(tmp_path, disk):
    """Ends of custody go first when the disk is back, they make room; marks may not: a kill could come in between."""
    one = keeper(tmp_path, step=disk)
    (held,) = put(one, 0, marks={("log", "at"): b"1"})
    disk.fail(IO, "begin")
    put(one, 10, marks={("log", "at"): b"2"}, done={held.key: "confirmed"})
    disk.fail(IO, "insert")
    one.open()
    assert one.fault is not None
    assert one.store.tables.account["gw-1", "log", "confirmed"][0] == 2
    assert one.store.tables.marks["log", "at"] == b"1"
    disk.mend()
    one.open()
    assert one.store.tables.marks["log", "at"] == b"2"


def test_batches_that_are_sealed_while_the_disk_is_tried_again_are_not_forgotten(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    (held,) = put(one, 0)
    disk.fail(IO, "begin")
    put(one, 10, done={held.key: "confirmed"})
    one.seal(sealed(20))
    disk.fail(SYNC_FAILED, "commit")  # of the ends that go first: in doubt
    one.open()
    one.commit(Changes())
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [10, 11, 20, 21]
    assert_account_closes(one.store)


def test_what_was_confirmed_in_doubt_and_never_reached_the_disk_is_not_sent_again(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(SYNC_FAILED, "commit")
    (held, *_) = put(one, 10)
    one.commit(Changes(done={held.key: "confirmed"}))
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [0, 1]
    assert sums(one.store.tables.account)["log"] == {"received": 4, "confirmed": 2}
    assert_account_closes(one.store)


def test_a_sync_that_finds_no_room_leaves_a_doubt_and_no_second_copy(tmp_path, disk, monkeypatch):
    """Over NFS, or with a quota, it is the sync that says so: the commit may lie in the file."""
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    monkeypatch.setattr(faults.os, "open", probe_that_says("EDQUOT", lambda: disk.code is not None))
    disk.fail(SYNC_FAILED, "committed")
    (held, *_) = put(one, 10)
    assert (one.fault.state, one.fault.problem) == ("full", "the disk quota is used up")
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [0, 1, 10, 11]
    assert readable(one)[1].name == held.name
    assert_account_closes(one.store)


def test_a_full_disk_is_given_room_when_memory_goes_back_to_it(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(IO, "begin")
    put(one, 10)
    assert (tmp_path / "reserve").exists()
    disk.fail(FULL, "insert", is_once=True)
    one.open()
    assert one.fault is None
    assert numbers(readable(one)) == [0, 1, 10, 11]


def test_a_quota_is_room_too(tmp_path, disk, monkeypatch):
    """SQLite calls it an I/O error; the reserve is given up all the same."""
    one = keeper(tmp_path, step=disk)
    monkeypatch.setattr(faults.os, "open", probe_that_says("EDQUOT", (tmp_path / "reserve").exists))
    disk.fail(WRITE_FAILED, "insert", is_once=True)
    put(one, 0)
    assert one.fault is None
    assert numbers(readable(one)) == [0, 1]


# --- files that are set aside ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", range(6))
def test_a_kill_while_a_file_is_set_aside_leaves_it_whole_and_carried_once(tmp_path, calls):
    """Killed after each of the calls by which a file and its WAL get their new names."""
    script = (
        "import os, signal, sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path\n"
        "from parts.buffers import keeper, put\n"
        "from parts.disks import CORRUPT, sqlite_error\n"
        "one = keeper(Path(sys.argv[1])); put(one, 0); put(one, 10)\n"
        "left = int(sys.argv[2])\n"
        "def watch(event, args):\n"
        "    global left\n"
        "    if event in {'os.link', 'os.remove', 'os.rename'} and '.db' in str(args[0]):\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(watch)\n"
        "one._opener.give_up(one.store.tables); one._opener._set_aside(); print('done', flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(calls), *sys.path]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == (0 if done.stdout else -9), done.stderr
    two = keeper(tmp_path)
    put(two, 20)
    salvage(two)
    assert sorted(numbers(readable(two))) == [0, 1, 10, 11, 20, 21]
    assert sums(two.store.tables.account)["log"] == {"received": 6}
    assert_account_closes(two.store)


def give_up(one: Keeper) -> None:
    """Let the open file turn out to be damaged."""
    one.fail(sqlite_error(CORRUPT))
    one.tick()
    assert one.fault is None


@pytest.mark.parametrize("step_seconds", [0, -365 * 86400], ids=["in order", "a year back"])
def test_a_file_damaged_while_another_one_waits_is_carried_with_it_and_each_once(tmp_path, monkeypatch, step_seconds):
    """Whatever the clock makes of their names."""
    one = keeper(tmp_path)
    (held,) = put(one, 0, marks={("log", "at"): b"1"})
    put(one, 10)
    give_up(one)
    now = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda *_: now(time.time() + step_seconds))
    put(one, 20, marks={("log", "at"): b"2"}, done={held.key: "confirmed"})
    give_up(one)
    put(one, 30)
    one.close()
    two = keeper(tmp_path)
    assert len(damage.waiting(tmp_path)) == 2
    assert two.store.tables.marks["log", "at"] == b"2"
    salvage(two)
    assert sorted(numbers(readable(two))) == [
        0,
        1,
        10,
        11,
        20,
        21,
        30,
        31,
    ]  # 0 had ended in a file that did not hold it
    two.commit(Changes(done={one.key: "confirmed" for one in readable(two)}))
    assert_account_closes(two.store)


def test_a_file_that_somebody_puts_beside_the_store_adds_to_its_account(tmp_path):
    """As one does who has saved a disk: `mv` to a name ending in `.damaged`, and start."""
    one = keeper(tmp_path / "a")
    put(one, 0, marks={("log", "at"): b"1"})
    one.close()
    two = keeper(tmp_path / "b")
    put(two, 10, marks={("log", "at"): b"2"})
    two.close()
    (tmp_path / "a" / "buffer.db").rename(tmp_path / "b" / "buffer-saved.damaged")
    three = keeper(tmp_path / "b")
    salvage(three)
    assert three.store.tables.marks["log", "at"] == b"2"
    assert sums(three.store.tables.account)["log"] == {"received": 4}
    assert_account_closes(three.store)


def test_a_salvage_that_was_interrupted_still_knows_what_was_there(tmp_path):
    """What is missing is declared by its seqs, though the agent that began is gone."""
    one = keeper(tmp_path)
    for first in range(0, 300, 10):
        put(one, first)
    one.store._db.execute("UPDATE batch SET digest = zeroblob(16) WHERE seq BETWEEN 11 AND 13")
    give_up(one)
    (aside,) = damage.waiting(tmp_path)
    with closing(damage.connect(aside)) as db:
        group = [held for held in read_over_holes(db, 0, []) if held.name.seq < 20]
    assert _take(one, aside, group, reached=group[-1].key)
    one.commit(Changes(done={group[0].key: "confirmed"}))
    one.close()
    two = keeper(tmp_path)
    salvage(two)
    two.commit(Changes())
    (lost,) = details(readable(two, 0), "dropped")
    assert (lost["first_seq"], lost["last_seq"], lost["rows"], lost["reason"]) == (11, 13, 6, "corrupt")
    assert sums(two.store.tables.account)["log"] == {"received": 60, "confirmed": 2, "dropped": 6}
    assert_account_closes(two.store)
