"""The ledger: arrived, waiting, declared lost, missing; the four ways of a seq, and what a restore must not hide."""

import os
import sqlite3

from parts.batches import body_of, make_head, make_payload

from center.ledger import make_ledger, show_ledger
from center.memory import Declared, Memory, Ranges
from wire.batch import decode_payload
from wire.state import Span, State, encode_state

EPOCH = os.urandom(16)


def memory_with(folder, seqs, *, declared=()):
    memory = Memory(folder / "receive.db")
    memory.commit([batch(seq=seq, epoch=EPOCH) for seq in seqs], positions={}, declared=declared)
    return memory


def batch(*, seq, epoch):
    head = make_head(seq=seq, epoch=epoch)
    return decode_payload(make_payload(head, body=body_of([])))


def agent_of(memory):
    (key,) = {key[0] for key in memory.ranges}
    return key


def lane_of(memory):
    (key,) = {key[2] for key in memory.ranges}
    return key


def test_ranges_join_when_the_hole_between_them_is_filled():
    ranges = Ranges()
    for number in (1, 3, 2, 7):
        ranges.add(number, number)
    assert ([1, 7], [3, 7]) == (ranges.firsts, ranges.lasts)
    assert 2 in ranges
    assert 5 not in ranges


def test_names_positions_and_rows_are_there_after_a_reopen(tmp_path):
    memory = memory_with(tmp_path, [1, 2, 4])
    agent, rows = agent_of(memory), dict(memory.rows)
    memory.close()
    memory = Memory(tmp_path / "receive.db")
    assert [agent] == [key[0] for key in memory.ranges]
    assert rows == dict(memory.rows)
    four = batch(seq=4, epoch=EPOCH)
    assert four.digest == memory.digest_of(agent, four.name)
    assert memory.digest_of("another", four.name) is None
    memory.close()


def test_a_memory_of_format_1_keeps_its_names_and_forgets_its_digests(tmp_path):
    memory = memory_with(tmp_path, [1, 2, 4])
    agent, ranges = agent_of(memory), memory.ranges.keys()
    memory.close()
    old = sqlite3.connect(tmp_path / "receive.db", isolation_level=None)
    old.executescript(
        "DROP TABLE digest; CREATE TABLE digest(epoch BLOB, lane INTEGER, seq INTEGER, digest BLOB NOT NULL,"
        " at INTEGER NOT NULL, PRIMARY KEY(epoch, lane, seq)) WITHOUT ROWID; PRAGMA user_version=1;"
    )
    old.close()
    memory = Memory(tmp_path / "receive.db")
    assert ranges == memory.ranges.keys()
    assert memory.digest_of(agent, batch(seq=4, epoch=EPOCH).name) is None
    memory.close()


def test_a_hole_below_what_the_agent_holds_is_missing_and_the_ledger_is_not_closed(tmp_path):
    memory = memory_with(tmp_path, [1, 2, 4, 5])
    agent, lane = agent_of(memory), lane_of(memory)
    state = State(online=True, epoch=EPOCH, connection=1, spans=(Span(EPOCH, lane, 6, 5),))
    memory.hear("s", agent, encode_state(state), spans=[(EPOCH, lane, 5)])
    ledger = make_ledger(memory)
    assert not ledger["closed"]
    assert [[3, 3]] == ledger["spans"][0]["missing"]
    assert "MISSING" in show_ledger(ledger)
    memory.close()


def test_a_hole_that_the_agent_still_holds_is_waiting(tmp_path):
    memory = memory_with(tmp_path, [1, 2, 4])
    agent, lane = agent_of(memory), lane_of(memory)
    state = State(online=True, epoch=EPOCH, connection=1, spans=(Span(EPOCH, lane, 3, 6),))
    memory.hear("s", agent, encode_state(state), spans=[(EPOCH, lane, 6)])
    ledger = make_ledger(memory)
    assert ledger["closed"]
    assert 3 == ledger["spans"][0]["waiting"]
    memory.close()


def test_a_declared_loss_is_declared_and_not_missing(tmp_path):
    first = memory_with(tmp_path, [1, 4])
    agent, lane = agent_of(first), lane_of(first)
    first.commit([], positions={}, declared=[Declared(agent, EPOCH, lane, 2, 3, 20, "limit")])
    ledger = make_ledger(first)
    assert ledger["closed"]
    assert 2 == ledger["spans"][0]["declared"]
    first.close()


def test_a_store_put_back_from_a_copy_does_not_hide_what_it_no_longer_knows_of(tmp_path):
    memory = memory_with(tmp_path, [1, 2, 3])
    agent, lane = agent_of(memory), lane_of(memory)
    for epoch, last in ((EPOCH, 9), (os.urandom(16), 3)):
        state = State(online=True, epoch=epoch, connection=1, spans=(Span(EPOCH, lane, 4, last),))
        memory.hear("s", agent, encode_state(state), spans=[(EPOCH, lane, last)])
    assert [[4, 9]] == make_ledger(memory)["spans"][0]["missing"]
    memory.close()


def test_every_line_of_the_ledger_fits_80_columns(tmp_path):
    memory = memory_with(tmp_path, range(1, 2000, 2))
    counts = {f"refused-{number}": number for number in range(20)}
    shown = show_ledger({**make_ledger(memory), "counts": counts, "problem": "No space left on device " * 9})
    assert max(map(len, shown.splitlines())) <= 80
    assert "13 refused-13" in shown
    memory.close()
