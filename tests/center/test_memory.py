"""What a receiver remembers over restarts, what it forgets, and what it never mixes up."""

import sqlite3
import time

import pytest
from parts.center import ME, batch, new_epoch

from center import memory as module
from center.memory import FORMAT, Change, Lost, Memory, Unknown
from center.refused import Tally
from wire.declared import UncleanStop


def opened(tmp_path):
    return Memory(tmp_path / "receive.db")


def test_names_digests_rows_and_positions_are_there_after_a_reopen(tmp_path):
    memory = opened(tmp_path)
    memory.commit(Change([batch(1), batch(2), batch(4, ["a", "b"])], positions={"log/x.open": 7}))
    memory.close()
    memory = opened(tmp_path)
    assert [True, True, False, True] == [memory.knows(ME, batch(seq).name) for seq in (1, 2, 3, 4)]
    assert batch(1).digest == memory.digest_of(ME, batch(1).name)
    assert [(ME, "log", 4)] == memory.rows()
    assert {"log/x.open": 7} == memory.positions
    memory.close()


def test_a_name_of_one_agent_says_nothing_of_the_same_name_of_another(tmp_path):
    memory = opened(tmp_path)
    memory.commit(Change([batch(1)]))
    stranger = batch(1, ["other bytes"], agent="gw-02")
    assert not memory.knows("gw-02", stranger.name)
    memory.commit(Change([stranger]))
    assert batch(1).digest == memory.digest_of(ME, batch(1).name)
    assert stranger.digest == memory.digest_of("gw-02", stranger.name)
    memory.close()


def test_a_digest_is_forgotten_after_a_week_and_its_name_never(tmp_path, monkeypatch):
    memory = opened(tmp_path)
    week_ago = time.time_ns() - (module.DIGEST_DAYS * 86_400 + 60) * 10**9
    with monkeypatch.context() as clock:
        clock.setattr(module.time, "time_ns", lambda: week_ago)
        memory.commit(Change([batch(1), batch(2)]))
    memory.commit(Change([batch(3)]))
    assert 2 == memory.forget_digests()
    assert [None, None, batch(3).digest] == [memory.digest_of(ME, batch(seq).name) for seq in (1, 2, 3)]
    assert memory.knows(ME, batch(1).name)
    assert 0 == memory.forget_digests()
    memory.close()


def test_digests_are_forgotten_in_pieces_so_that_no_commit_waits_long(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FORGET_ROWS", 3)
    monkeypatch.setattr(module, "DIGEST_DAYS", -1)
    memory = opened(tmp_path)
    memory.commit(Change([batch(seq) for seq in range(1, 8)]))
    assert [3, 3, 1, 0] == [memory.forget_digests() for _ in range(4)]
    memory.close()


def test_the_longer_of_two_declarations_with_one_beginning_holds(tmp_path):
    epoch = new_epoch()
    memory = opened(tmp_path)
    for last in (9, 4):
        memory.commit(Change(lost=[Lost((ME, epoch, 1), 2, last, "limit")]))
    assert [(2, 9)] == memory.lost(1, "declared")
    memory.close()


def test_what_was_told_once_is_told_for_ever(tmp_path):
    memory = opened(tmp_path)
    for last in (9, 3):
        memory._names.tell((ME, new_epoch(), 1), last)
    assert [9, 3] == sorted((told for _, _, told in memory.spans()), reverse=True)
    memory.close()


def test_the_same_unclean_stop_told_twice_is_one(tmp_path):
    memory = opened(tmp_path)
    for _ in range(2):
        memory.commit(Change(stops=[(ME, UncleanStop(1, 2))]))
    memory.commit(Change(stops=[(ME, UncleanStop(5, 6))]))
    assert [(ME, 1, 2), (ME, 5, 6)] == memory.stops()
    memory.close()


def test_what_is_refused_and_discarded_is_summed_by_reason(tmp_path):
    memory = opened(tmp_path)
    for size in (10, 20):
        memory.commit(Change(refused={"limit": Tally(1, size)}))
    memory.discard("refused/x.refused", {"limit": Tally(1, 10)})
    memory.discard("refused/x.refused", {})
    memory.close()
    memory = opened(tmp_path)
    assert {"limit": (Tally(2, 30), Tally(1, 10))} == memory.refused()
    assert ["refused/x.refused"] == memory.gone()
    memory.close()


def test_a_memory_of_a_later_format_is_left_alone(tmp_path):
    opened(tmp_path).close()
    db = sqlite3.connect(tmp_path / "receive.db")
    db.execute(f"PRAGMA user_version={FORMAT + 1}")
    db.close()
    with pytest.raises(Unknown, match=f"format {FORMAT + 1}"):
        opened(tmp_path)


def test_nobody_else_opens_a_memory_that_is_open(tmp_path, monkeypatch):
    memory = opened(tmp_path)
    other = sqlite3.connect(tmp_path / "receive.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM rows").fetchall()
    other.close()
    memory.close()
