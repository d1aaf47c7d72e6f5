"""The ledger: arrived, waiting, declared lost, refused, missing; what a restore, a will and a late word must not hide."""

from hypothesis import given, settings
from hypothesis import strategies as st
from parts.center import ME, SITE, batch, heard, new_epoch, state

from center.ledger import count, make_ledger, merge, within, without
from center.memory import REFUSED, Change, Lost, Memory
from center.refused import Tally
from center.show import show_ledger
from wire.declared import UncleanStop
from wire.state import State

EPOCH, OLD = new_epoch(), new_epoch()


def remembering(tmp_path, *seqs, epoch=EPOCH, **more):
    memory = Memory(tmp_path / "receive.db")
    memory.commit(Change([batch(seq, epoch=epoch) for seq in seqs], **more))
    return memory


def hear(memory, *states):
    memory.commit(Change(states=[heard(one) for one in states]))


def close(memory):
    """The ledger, and its spans by epoch."""
    ledger = make_ledger(memory)
    memory.close()
    return ledger, {bytes.fromhex(one["epoch"]): one for one in ledger["spans"]}


# --- ranges ------------------------------------------------------------------------------------------------------------

NUMBERS = st.sets(st.integers(1, 40))


def ranges(numbers):
    return merge((number, number) for number in sorted(numbers))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_sums_of_ranges_are_those_of_sets(left, right):
    assert ranges(left - right) == without(ranges(left), ranges(right))
    assert ranges(left & right) == within(ranges(left), ranges(right))
    assert len(left) == count(ranges(left))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9))))
def test_overlapping_ranges_merge(pairs):
    parts = sorted((first, first + more) for first, more in pairs)
    assert ranges({number for first, last in parts for number in range(first, last + 1)}) == merge(parts)


# --- the five ways of a seq ----------------------------------------------------------------------------------------------


def test_a_hole_below_what_the_agent_holds_is_missing_and_the_ledger_is_not_closed(tmp_path):
    memory = remembering(tmp_path, 1, 2, 4, 5)
    hear(memory, state(EPOCH, (1, 6, 5)))
    ledger, spans = close(memory)
    assert not ledger["closed"]
    assert [[3, 3]] == spans[EPOCH]["missing"]


def test_what_was_told_of_and_never_came_is_missing_too(tmp_path):
    memory = remembering(tmp_path, 1)
    hear(memory, state(EPOCH, (1, 2, 4)), state(new_epoch(), connection=2))
    ledger, spans = close(memory)
    assert [[2, 4]] == spans[EPOCH]["missing"]
    assert not ledger["closed"]


def test_a_hole_that_the_agent_still_holds_is_waiting(tmp_path):
    memory = remembering(tmp_path, 1, 2, 4)
    hear(memory, state(EPOCH, (1, 3, 6)))
    ledger, spans = close(memory)
    assert ledger["closed"]
    assert (3, []) == (spans[EPOCH]["waiting"], spans[EPOCH]["missing"])


def test_a_gap_above_what_the_last_state_told_of_is_on_its_way_in_the_current_epoch_only(tmp_path):
    memory = remembering(tmp_path, 1, 5)
    memory.commit(Change([batch(seq, epoch=OLD) for seq in (1, 5)]))
    hear(memory, state(OLD), state(EPOCH, connection=2))
    ledger, spans = close(memory)
    assert (3, []) == (spans[EPOCH]["waiting"], spans[EPOCH]["missing"])
    assert [[2, 4]] == spans[OLD]["missing"]
    assert not ledger["closed"]


def test_an_epoch_drawn_in_mid_connection_is_the_current_one(tmp_path):
    memory = remembering(tmp_path, 1, 5)
    hear(memory, state(OLD, current=EPOCH))
    ledger, spans = close(memory)
    assert 3 == spans[EPOCH]["waiting"]
    assert ledger["closed"]


def test_a_declared_loss_is_declared_and_not_missing(tmp_path):
    memory = remembering(tmp_path, 1, 4, lost=[Lost((ME, EPOCH, 1), 2, 3, "limit")])
    ledger, spans = close(memory)
    assert ledger["closed"]
    assert (2, 0) == (spans[EPOCH]["declared"], spans[EPOCH]["refused"])


def test_a_batch_that_we_refused_is_refused_and_not_missing(tmp_path):
    memory = remembering(tmp_path, 1, 3, lost=[Lost((ME, EPOCH, 1), 2, 2, "undecodable", REFUSED)])
    ledger, spans = close(memory)
    assert ledger["closed"]
    assert (0, 1) == (spans[EPOCH]["declared"], spans[EPOCH]["refused"])


def test_losses_that_overlap_or_arrived_all_the_same_count_once(tmp_path):
    span = (ME, EPOCH, 1)
    lost = [Lost(span, 2, 5, "limit"), Lost(span, 4, 7, "limit"), Lost(span, 3, 3, "limit", REFUSED)]
    memory = remembering(tmp_path, 1, 6, 9, lost=lost)
    _, spans = close(memory)
    assert (3, 5, 0, [[8, 8]]) == tuple(spans[EPOCH][key] for key in ("arrived", "declared", "refused", "missing"))


# --- what an agent says, and when ----------------------------------------------------------------------------------------


def test_a_store_put_back_from_a_copy_does_not_hide_what_it_no_longer_knows_of(tmp_path):
    memory = remembering(tmp_path, 1, 2, 3)
    for epoch, last in ((EPOCH, 9), (new_epoch(), 3)):
        hear(memory, state(epoch, connection=last).__class__(True, epoch, last, spans=spans_of(last)))
    _, spans = close(memory)
    assert [[4, 9]] == spans[EPOCH]["missing"]


def spans_of(last):
    return state(EPOCH, (1, 4, last)).spans


def test_the_will_of_a_killed_agent_does_not_make_what_it_holds_missing(tmp_path):
    memory = remembering(tmp_path, 1, 2, epoch=OLD)
    now = new_epoch()
    hear(memory, State(True, now, 7, spans=state(OLD, (1, 3, 9)).spans))
    hear(memory, State(False, now, 7))
    ledger, spans = close(memory)
    assert "offline" == ledger["agents"][0]["state"]
    assert (7, []) == (spans[OLD]["waiting"], spans[OLD]["missing"])


def test_the_late_will_of_a_frozen_connection_does_not_show_a_living_agent_as_gone(tmp_path):
    memory = remembering(tmp_path, 1)
    hear(memory, state(EPOCH, connection=1), state(EPOCH, connection=2), State(False, EPOCH, 1))
    ledger, _ = close(memory)
    assert ["online"] == [one["state"] for one in ledger["agents"]]


def test_confirmed_rows_stand_beside_the_committed_ones(tmp_path):
    memory = remembering(tmp_path, 1, 2)
    hear(memory, state(EPOCH, (1, 3, 2), confirmed={"log": 2}))
    ledger, _ = close(memory)
    assert [{"agent": ME, "stream": "log", "committed": 2, "confirmed": 2}] == ledger["rows"]


# --- for people ----------------------------------------------------------------------------------------------------------


def full(tmp_path):
    """A ledger with something in every section."""
    wide = "w" * 63
    memory = remembering(
        tmp_path,
        *range(1, 2000, 2),
        refused={"undecodable": Tally(3, 5000)},
        stops=[(wide, UncleanStop(10**18, 2 * 10**18))],
    )
    memory.commit(Change([batch(10**14, agent=wide, stream="x" * 63, epoch=OLD)]))
    memory.discard("a", {"undecodable": Tally(1, 1000)})
    hear(memory, state(EPOCH, (1, 1998, 2100), health="\x1b[31mred"))
    ledger, _ = close(memory)
    return ledger | {"problem": "\x1b]0;gone\x07" + "disk " * 40, "counts": {"committed": 1000}}


def test_every_line_of_the_ledger_fits_80_columns(tmp_path):
    assert max(map(len, show_ledger(full(tmp_path)).splitlines())) <= 80


def test_nothing_that_an_agent_said_acts_on_the_terminal(tmp_path):
    text = show_ledger(full(tmp_path))
    assert {"\n"} == {sign for sign in text if ord(sign) < 32}


def test_what_stands_wrong_is_said_first_and_in_words(tmp_path):
    first, second, *_ = show_ledger(full(tmp_path)).splitlines()
    assert first.startswith("MISSING")
    assert second.startswith("PROBLEM: nothing is taken")


def test_unclean_stops_and_refused_payloads_are_shown(tmp_path):
    text = show_ledger(full(tmp_path))
    assert "UNCLEAN STOPS: 1" in text
    assert "2001-09-09T01:46:40Z to 2033-05-18T03:33:20Z" in text
    (line,) = [line for line in text.splitlines() if line.startswith("undecodable")]
    assert ["undecodable", "2", "3.9", "KiB", "1"] == line.split()


def test_earlier_epochs_that_are_whole_are_one_line(tmp_path):
    memory = remembering(tmp_path, 1, 2)
    memory.commit(Change([batch(seq, epoch=epoch) for epoch in (OLD, new_epoch()) for seq in (1, 2, 3)]))
    hear(memory, state(EPOCH, (1, 3, 2)))
    ledger, _ = close(memory)
    text = show_ledger(ledger)
    assert "2 earlier epochs are whole: 6 batches arrived" in text
    assert OLD.hex()[:8] not in text
    assert EPOCH.hex()[:8] in text
    assert SITE in text
