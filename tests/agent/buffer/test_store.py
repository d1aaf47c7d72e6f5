"""One store: commits, names, marks, reads, and what they cost."""

import sqlite3

import pytest
from parts.buffers import ORIGIN, assert_account_closes, keeper, numbers, put, sealed

from agent.buffer.rows import Changes
from agent.buffer.schema import APPLICATION_ID, FORMAT
from agent.buffer.store import Store


def test_what_is_committed_is_read_back_whole_and_in_order(tmp_path):
    one = keeper(tmp_path)
    for first in range(0, 100, 10):
        put(one, first, 10)
    found, rotten = one.store.read(1, after=0, limit_bytes=1 << 20)
    assert numbers(found) == list(range(100))
    assert rotten == []
    assert [held.name.seq for held in found] == list(range(1, 11))
    assert_account_closes(one.store)


def test_the_next_opening_reads_the_same_and_names_under_a_new_epoch(tmp_path):
    one = keeper(tmp_path)
    (first,) = put(one, 0)
    one.close()
    two = keeper(tmp_path)
    (second,) = put(two, 10)
    assert numbers(two.store.read(1, after=0, limit_bytes=1 << 20)[0]) == [0, 1, 10, 11]
    assert first.name.epoch != second.name.epoch
    assert (first.name.seq, second.name.seq) == (1, 1)
    assert second.key == first.key + 1


def test_seq_counts_without_gaps_within_each_lane(tmp_path):
    one = keeper(tmp_path)
    named = [held for first in range(30) for held in put(one, first, 1, lane=first % 3)]
    for lane in range(3):
        assert [held.name.seq for held in named if held.name.lane == lane] == list(range(1, 11))


def test_a_read_gives_at_least_one_batch_and_stops_at_its_limit(tmp_path):
    one = keeper(tmp_path)
    sizes = [put(one, first)[0].size for first in range(5)]
    assert len(one.store.read(1, after=0, limit_bytes=1)[0]) == 1
    assert len(one.store.read(1, after=0, limit_bytes=sizes[0] + sizes[1])[0]) == 2


def test_a_read_stays_within_its_lane(tmp_path):
    one = keeper(tmp_path)
    for lane in range(3):
        put(one, lane * 100, lane=lane)
    assert [numbers(one.store.read(lane, after=0, limit_bytes=1 << 20)[0]) for lane in range(3)] == [
        [0, 1],
        [100, 101],
        [200, 201],
    ]


def test_marks_are_committed_with_their_rows_and_the_buffers_own_are_nobodys(tmp_path):
    one = keeper(tmp_path)
    put(one, marks={("journal", "cursor"): b"1"})
    put(one, marks={("journal", "cursor"): b"2", ("log", "file"): b"9"})
    one.close()
    marks = keeper(tmp_path).store.tables.marks
    assert marks["journal", "cursor"] == b"2"
    assert marks["log", "file"] == b"9"


@pytest.mark.parametrize("batches", [1, 500])
def test_a_commit_is_eight_sqlite_calls_however_many_batches_it_carries(tmp_path, batches):
    one = keeper(tmp_path)
    ends = {put(one, first)[0].key: "confirmed" for first in range(batches)}
    for first in range(batches):
        one.seal(sealed(first))
    calls = Calls(one.store)
    one.waiting.changes = Changes(marks={("a", "b"): b"c"}, done=ends)
    one.store.append(one.names.name(one.waiting.packed), one.waiting.changes)
    assert [call.split()[0] for call in calls.made] == [
        *("BEGIN", "DELETE", "INSERT", "INSERT", "INSERT", "INSERT", "INSERT", "COMMIT"),
    ]
    assert len(set(calls.made)) == 8


def test_the_first_commit_of_an_epoch_leaves_ends_of_custody_to_the_second(tmp_path):
    one = keeper(tmp_path)
    (held,) = put(one)
    one.close()
    two = keeper(tmp_path)
    calls = Calls(two.store)
    put(two, 10, done={held.key: "confirmed"}, marks={("a", "b"): b"c"})
    calls = [call.split()[0] for call in calls.made if not call.startswith("PRAGMA")]
    end = calls.index("COMMIT") + 1
    assert len(calls[:end]) == 8
    assert len(calls[end:]) <= 8
    assert "DELETE" in calls[end:]
    assert numbers(two.store.read(1, after=0, limit_bytes=1 << 20)[0]) == [10, 11]
    assert_account_closes(two.store)


def test_a_commit_of_nothing_calls_nothing(tmp_path):
    one = keeper(tmp_path)
    put(one)
    steps = []
    one.store._step = steps.append
    one.commit(Changes())
    assert "begin" not in steps


def test_the_account_follows_every_batch_to_its_end(tmp_path):
    one = keeper(tmp_path)
    keys = [put(one, first)[0].key for first in range(0, 20, 2)]
    one.commit(Changes(done={keys[0]: "confirmed", keys[3]: "dropped:rejected-limit"}))
    assert_account_closes(one.store)
    rows = {what: rows for (_, stream, what), (rows, _) in one.store.tables.account.items() if stream == "log"}
    assert rows == {"received": 20, "confirmed": 2, "dropped:rejected-limit": 2}


def test_an_end_of_custody_told_twice_counts_once(tmp_path):
    one = keeper(tmp_path)
    (held,) = put(one)
    for _ in range(2):
        one.commit(Changes(done={held.key: "confirmed"}))
    assert one.store.tables.account["gw-1", "log", "confirmed"][0] == 2
    assert_account_closes(one.store)


def test_the_first_held_of_a_span_follows_ends_in_any_order(tmp_path):
    one = keeper(tmp_path)
    keys = [put(one, first)[0].key for first in range(6)]
    firsts = []
    for index in (1, 2, 0, 5, 3, 4):
        one.commit(Changes(done={keys[index]: "confirmed"}))
        (span,) = one.store.spans().values()
        firsts.append(span.first_held)
    assert firsts == [1, 1, 4, 4, 5, 7]


def test_a_parked_batch_is_held_but_not_read(tmp_path):
    one = keeper(tmp_path)
    first = put(one, 0)[0]
    put(one, 10)
    one.park(first.key, "lost alone")
    assert numbers(one.store.read(1, after=0, limit_bytes=1 << 20)[0]) == [10, 11]
    assert one.store.tables.lanes[1].parked == 1
    assert_account_closes(one.store)
    one.commit(Changes(done={first.key: "confirmed"}))
    assert one.store.tables.lanes[1].parked == 0
    assert_account_closes(one.store)


def test_epochs_that_hold_nothing_are_forgotten_at_the_next_opening(tmp_path):
    for round_ in range(5):
        one = keeper(tmp_path)
        keys = [put(one, first)[0].key for first in range(3)]
        if round_ != 2:
            one.commit(Changes(done=dict.fromkeys(keys, "confirmed")))
        one.close()
    one = keeper(tmp_path)
    assert len(one.store.tables.epochs) == 1
    assert one.store._db.execute("SELECT count(*) FROM epoch").fetchone() == (1,)
    assert_account_closes(one.store)


def test_the_file_says_what_it_is(tmp_path):
    keeper(tmp_path).close()
    assert not list(tmp_path.glob("*-wal"))
    with sqlite3.connect(tmp_path / "buffer.db") as db:
        for pragma, value in (
            ("application_id", APPLICATION_ID),
            ("user_version", FORMAT),
            ("page_size", 4096),
            ("auto_vacuum", 2),
            ("journal_mode", "wal"),
        ):
            assert db.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_no_shared_memory_file_is_ever_made(tmp_path):
    one = keeper(tmp_path)
    put(one)
    assert not list(tmp_path.glob("*-shm"))


def test_the_connection_has_the_pragmas_that_the_format_page_promises(tmp_path):
    store = Store(tmp_path / "buffer.db", ORIGIN)
    for pragma, value in (
        ("locking_mode", "exclusive"),
        ("synchronous", 2),
        ("secure_delete", 0),
        ("wal_autocheckpoint", 0),
        ("cache_size", -2048),
        ("mmap_size", 0),
        ("trusted_schema", 0),
    ):
        assert store._db.execute(f"PRAGMA {pragma}").fetchone() == (value,)


class Calls:
    """The statements a store makes from now on, each executemany once."""

    def __init__(self, store):
        self.made = []
        self._before = None
        store._db.set_trace_callback(self._trace)

    def _trace(self, statement):
        kind = statement.split("(")[0].split("VALUES")[0]
        if kind != self._before:
            self.made.append(statement)
        self._before = kind
