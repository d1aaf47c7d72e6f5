"""Which word of a sender counts: births, wills that come late, farewells."""

from parts.center import new_epoch, state

from center.states import merge_states
from wire.state import Span, State

EPOCH = new_epoch()
BORN = state(EPOCH, (1, 3, 9), connection=4, health="healthy", confirmed={"log": 7})


def will(epoch=EPOCH, connection=4):
    return State(online=False, epoch=epoch, connection=connection)


def test_an_online_always_counts():
    assert BORN == merge_states(None, BORN)
    reborn = state(new_epoch(), connection=1)
    assert reborn == merge_states(BORN, reborn)


def test_the_will_of_the_connection_that_was_last_online_ends_it_and_keeps_what_it_held():
    gone = merge_states(BORN, will())
    assert gone is not None
    assert not gone.online
    assert (Span(EPOCH, 1, 3, 9),) == gone.spans
    assert {"log": 7} == gone.confirmed


def test_the_will_of_an_earlier_connection_does_not_count():
    assert merge_states(BORN, will(connection=3)) is None
    assert merge_states(BORN, will(epoch=new_epoch())) is None


def test_a_will_counts_after_a_new_epoch_was_drawn_in_mid_connection():
    drawn = state(EPOCH, (1, 3, 9), connection=4, current=new_epoch())
    gone = merge_states(merge_states(BORN, drawn), will())
    assert gone is not None
    assert not gone.online
    assert drawn.naming == gone.naming


def test_a_farewell_counts_whole():
    farewell = state(EPOCH, (1, 8, 9), connection=4, online=False)
    assert farewell == merge_states(BORN, farewell)


def test_after_an_offline_that_counted_the_late_will_of_another_still_does_not():
    gone = merge_states(BORN, will())
    assert merge_states(gone, will(connection=3)) is None


def test_where_nobody_was_online_an_offline_counts():
    assert will() == merge_states(None, will())
