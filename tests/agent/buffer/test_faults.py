"""A failing disk is a state: batches stay in custody, in memory, and reach the disk when it is back."""

import random
import sqlite3

import pytest
from parts.buffers import assert_account_closes, details, keeper, numbers, put, readable, sealed, sums
from parts.disks import CANTOPEN, FULL, IO, READ_ONLY, Broken

from agent.buffer import keeper as keeper_module
from agent.buffer.faults import fault_of
from agent.buffer.rows import Changes
from agent.buffer.view import look, spans_of


@pytest.fixture
def disk():
    return Broken()


@pytest.mark.parametrize(
    ("code", "state"), [(IO, "io-error"), (778, "io-error"), (FULL, "full"), (READ_ONLY, "read-only"), (5, "busy")]
)
def test_each_failure_of_the_disk_is_a_state_with_a_remedy(tmp_path, disk, code, state):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(code)
    put(one, 10)
    assert one.fault.state == state
    assert one.fault.problem
    assert one.fault.remedy


def test_what_cannot_be_written_is_held_in_memory_and_written_when_the_disk_is_back(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(IO, "begin")
    named = put(one, 10) + put(one, 20)
    assert numbers(readable(one)) == [0, 1, 10, 11, 20, 21]
    assert len(one.memory) >= 2
    disk.mend()
    one.open()
    assert one.fault is None
    assert len(one.memory) == 0
    assert numbers(readable(one)) == [0, 1, 10, 11, 20, 21]
    assert {held.name for held in named} <= {held.name for lane in range(3) for held in readable(one, lane)}
    assert_account_closes(one.store)


def test_batches_of_a_failed_commit_keep_their_names_and_later_ones_get_a_new_epoch(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    (first,) = put(one, 0)
    disk.fail(IO, "begin")
    second, third = put(one, 10)[0], put(one, 20)[0]
    assert second.name == (first.name.epoch, 1, 2)
    assert third.name.epoch != first.name.epoch
    assert third.name.seq == 1


def test_a_commit_that_failed_in_doubt_and_took_place_is_not_written_twice(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    (first,) = put(one, 0)
    disk.fail(IO, "committed")
    put(one, 10, done={first.key: "confirmed"}, marks={("log", "at"): b"9"})
    assert one.fault.state == "io-error"
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [10, 11]
    assert one.store.tables.account["gw-1", "log", "received"][0] == 4
    assert_account_closes(one.store)


def test_an_end_of_custody_in_doubt_counts_once(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    disk.fail(IO, "committed")
    held = put(one, 10)[0]
    one.commit(Changes(done={held.key: "confirmed"}))
    assert readable(one) == []
    disk.mend()
    one.open()
    assert readable(one) == []
    assert sums(one.store.tables.account)["log"] == {"received": 2, "confirmed": 2}
    assert_account_closes(one.store)


def test_what_ends_in_memory_never_reaches_the_disk_but_the_account(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(FULL, "begin")
    held = put(one, 10)[0]
    one.commit(Changes(done={held.key: "confirmed"}))
    assert numbers(readable(one)) == [0, 1]
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [0, 1]
    assert sums(one.store.tables.account)["log"] == {"received": 4, "confirmed": 2}
    assert_account_closes(one.store)


def test_the_backlog_can_be_read_and_ended_while_nothing_can_be_written(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    held = [put(one, first)[0] for first in (0, 10, 20)]
    disk.fail(FULL, "begin")
    put(one, 30)
    one.commit(Changes(done={held[0].key: "confirmed"}))
    assert numbers(readable(one)) == [10, 11, 20, 21, 30, 31]
    disk.mend()
    one.open()
    assert numbers(readable(one)) == [10, 11, 20, 21, 30, 31]
    assert_account_closes(one.store)


def test_marks_wait_for_the_disk_but_count_for_a_collector_that_starts_again(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0, marks={("log", "at"): b"1"})
    disk.fail(IO)
    put(one, 10, marks={("log", "at"): b"2"})
    assert look(one, "gw-1").marks["log", "at"] == b"2"
    disk.mend()
    one.open()
    assert one.store.tables.marks["log", "at"] == b"2"


def test_memory_is_bounded_the_oldest_bulk_goes_first_and_is_declared(tmp_path, disk):
    one = keeper(tmp_path, step=disk, memory_bytes=1 << 20, in_flight={(2 << 48) + 1})
    gone = []
    one.on_evicted = gone.extend
    disk.fail(FULL)
    noise = random.Random(1).randbytes(20_000).hex()
    for first in range(40):
        for lane in (0, 2):
            one.seal(sealed(first * 10 + lane, 2, lane=lane, text=str(first) + noise[first:]))
        one.commit(Changes())
    assert one.memory.bytes <= 1 << 20
    assert [key >> 48 for key in gone] == [2] * len(gone)
    assert gone == sorted(gone)
    assert len(gone) > 20
    disk.mend()
    one.open()
    assert (2 << 48) + 1 in {held.key for held in readable(one, 2)}  # in flight
    declared = details(readable(one, 0), "evicted")
    assert {entry["reason"] for entry in declared} == {"memory-full"}
    assert sum(entry["rows"] for entry in declared) == 2 * len(gone)
    assert sums(one.store.tables.account)["log"]["dropped"] == 2 * len(gone)
    assert_account_closes(one.store)


def test_a_store_that_cannot_be_opened_at_start_joins_later_behind_its_backlog(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    put(one, 10)
    one.close()
    disk.fail(CANTOPEN, "open")
    two = keeper(tmp_path, step=disk)
    gone, rewound = [], []
    two.on_evicted, two.on_rewound = gone.extend, lambda: rewound.append(True)
    assert two.fault.state == "unopenable"
    blind = [put(two, first)[-1] for first in (20, 30)]
    assert numbers(readable(two)) == [20, 21, 30, 31]
    disk.mend()
    two.open()
    assert numbers(readable(two)) == [0, 1, 10, 11, 20, 21, 30, 31]
    assert {held.key for held in blind} <= set(gone)
    assert rewound
    assert_account_closes(two.store)
    assert numbers(put(two, 40)) == [40, 41]
    two.close()
    assert numbers(readable(keeper(tmp_path))) == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]


def test_what_is_parked_in_memory_stays_parked_on_the_disk(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    disk.fail(FULL, "begin")
    held = put(one, 10)[0]
    one.park(held.key, "lost alone")
    assert readable(one) == []
    disk.mend()
    one.open()
    assert readable(one) == []
    assert one.store.tables.lanes[1].parked == 1
    assert_account_closes(one.store)


def test_spans_name_what_memory_holds_too(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    (first,) = put(one, 0)
    disk.fail(IO, "begin")
    put(one, 10)
    (third,) = put(one, 20)
    spans = {(span.epoch, span.lane): (span.first_held, span.last) for span in spans_of(one, "gw-1")}
    assert spans[first.name.epoch, 1] == (1, 2)
    assert spans[third.name.epoch, 1] == (1, 1)


def test_the_account_in_status_counts_what_memory_holds(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(IO, "begin")
    put(one, 10)
    put(one, 20)
    assert look(one, "gw-1").account["gw-1", "log", "received"][0] == 6


def test_a_new_epoch_is_told(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    put(one, 0)
    disk.fail(FULL, "begin")
    put(one, 10)
    disk.mend()
    one.open()
    (detail,) = details(readable(one, 0), "epoch")
    assert detail == {"epoch": one.names.epoch, "reason": "the disk is full"}


def test_it_is_tried_again_every_ten_seconds_and_not_in_between(tmp_path, disk, monkeypatch):
    one = keeper(tmp_path, step=disk)
    now = [1000.0]
    monkeypatch.setattr(keeper_module.time, "monotonic", lambda: now[0])
    assert one.due is None
    disk.fail(IO)
    put(one, 0)
    assert one.due == 1010.0
    disk.mend()
    put(one, 10)
    assert one.fault is not None
    now[0] = 1010.0
    one.tick()
    assert one.fault is None
    assert one.due is None


def test_closing_tries_the_disk_once_more(tmp_path, disk):
    one = keeper(tmp_path, step=disk)
    disk.fail(IO)
    put(one, 0)
    disk.mend()
    one.close()
    assert numbers(readable(keeper(tmp_path))) == [0, 1]


def test_an_error_that_is_no_state_of_the_disk_is_raised():
    error = sqlite3.IntegrityError("UNIQUE constraint failed")
    error.sqlite_errorcode = 19
    assert fault_of(error) is None
    assert fault_of(sqlite3.ProgrammingError("no such thing")) is None


@pytest.mark.parametrize("step", ["begin", "epoch", "insert", "delete", "span", "lane", "account", "mark", "commit"])
@pytest.mark.parametrize("code", [IO, FULL, READ_ONLY])
def test_a_failure_at_any_step_of_a_commit_loses_and_doubles_nothing(tmp_path, disk, step, code):
    one = keeper(tmp_path, step=disk)
    (old,) = put(one, 0)
    one.close()
    one = keeper(tmp_path, step=disk)
    put(one, 5)
    disk.fail(code, step)
    put(one, 10, done={old.key: "confirmed"}, marks={("a", "b"): b"c"})
    one.draw_epoch()
    put(one, 20)
    disk.mend()
    one.open()
    put(one, 30)
    assert numbers(readable(one)) == [5, 6, 10, 11, 20, 21, 30, 31]
    assert one.store.tables.marks["a", "b"] == b"c"
    assert sums(one.store.tables.account)["log"] == {"received": 10, "confirmed": 2}
    assert_account_closes(one.store)
