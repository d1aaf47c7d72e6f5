"""Names that have arrived: ranges that join, spans read when they are needed, and a rolled back transaction."""

import sqlite3
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from parts.center import ME, batch, new_epoch

from center import names
from center.memory import Change, Memory
from center.names import Ranges


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), unique=True))
def test_ranges_hold_what_was_added_sorted_disjoint_and_not_touching(numbers):
    ranges = Ranges()
    for number in numbers:
        ranges.add(number, number)
    assert set(numbers) == {number for number in range(70) if number in ranges}
    edges = list(zip(ranges.firsts, ranges.lasts, strict=True))
    assert all(first <= last for first, last in edges)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(edges))


@settings(deadline=None)
@given(st.permutations(range(1, 12)), st.integers(1, 5))
def test_what_the_database_holds_is_what_memory_holds(tmp_path_factory, order, group):
    path = tmp_path_factory.mktemp("names") / "receive.db"
    memory = Memory(path)
    for start in range(0, len(order), group):
        memory.commit(Change([batch(seq) for seq in order[start : start + group]]))
    found = memory.arrived(1)
    memory.close()
    assert [(1, 11)] == found


def test_more_spans_than_are_held_are_read_again_when_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "HELD_SPANS", 2)
    memory = Memory(tmp_path / "receive.db")
    epochs = [new_epoch() for _ in range(9)]
    for seq in (1, 2, 3):
        memory.commit(Change([batch(seq, epoch=epoch) for epoch in epochs]))
    assert all(memory.knows(ME, batch(2, epoch=epoch).name) for epoch in epochs)
    assert [[(1, 3)]] * 9 == [memory.arrived(number) for _, number, _ in memory.spans()]
    assert len(memory._names._held) <= 9
    memory.commit(Change())
    assert 2 == len(memory._names._held)
    memory.close()


def test_a_transaction_that_fails_leaves_no_name_behind(tmp_path):
    memory = Memory(tmp_path / "receive.db")
    memory._db.execute("DROP TABLE rows")
    try:
        memory.commit(Change([batch(1)]))
    except sqlite3.OperationalError:
        pass
    else:
        raise AssertionError("it did not fail")
    assert not memory.knows(ME, batch(1).name)
    memory.close()


def test_start_up_reads_no_ranges(tmp_path):
    memory = Memory(tmp_path / "receive.db")
    memory.commit(Change([batch(1, epoch=new_epoch()) for _ in range(50)]))
    memory.close()
    memory = Memory(tmp_path / "receive.db")
    assert {} == memory._names._held
    memory.close()
