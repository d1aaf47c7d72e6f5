"""The custody window: what ends a flight and what does not."""

import os

import pytest

from agent.buffer.rows import Held
from agent.forward.lanes import Lanes
from agent.forward.window import IGNORED, RESEND_SECONDS, Verdict, Window
from wire.names import BatchName
from wire.receipts import COMMITTED, LATER, REFUSED, REJECTED, REPEAT, Receipt

EPOCH = os.urandom(16)


def held(seq, *, lane=1, size=100):
    name = BatchName(EPOCH, lane, seq)
    return Held(name, lane << 48 | seq, "syslog", 10, os.urandom(16), b"h", b"b" * (size - 1), 0)


def in_flight(*batches, groups=("center",), limit_bytes=1000):
    window = Window(groups, limit_bytes=limit_bytes)
    for batch in batches:
        window.add(batch, 0.0).attempt = 1
    return window


def test_a_receipt_with_name_and_digest_ends_custody():
    batch = held(1)
    assert in_flight(batch).judge("center", Receipt(batch.name, batch.digest, COMMITTED), now=1.0) is Verdict.DONE


def test_a_repeat_ends_custody_as_well():
    batch = held(1)
    assert in_flight(batch).judge("center", Receipt(batch.name, batch.digest, REPEAT), now=1.0) is Verdict.DONE


def test_a_receipt_with_another_digest_changes_nothing():
    batch = held(1)
    window = in_flight(batch)
    assert window.judge("center", Receipt(batch.name, bytes(16), COMMITTED), now=1.0) is Verdict.NOTHING
    assert batch.name in window.flights


def test_a_receipt_of_a_group_that_need_not_confirm_changes_nothing():
    batch = held(1)
    receipt = Receipt(batch.name, batch.digest, COMMITTED)
    assert in_flight(batch).judge("stranger", receipt, now=1.0) is Verdict.NOTHING


def test_custody_ends_only_when_every_group_has_confirmed():
    batch = held(1)
    window = in_flight(batch, groups=("soc", "ioc"))
    receipt = Receipt(batch.name, batch.digest, COMMITTED)
    assert window.judge("soc", receipt, now=1.0) is Verdict.NOTHING
    assert window.judge("soc", receipt, now=1.0) is Verdict.NOTHING
    assert window.judge("ioc", receipt, now=1.0) is Verdict.DONE


def test_later_keeps_the_batch_and_slows_down():
    batch = held(1)
    window = in_flight(batch)
    assert window.judge("center", Receipt(batch.name, batch.digest, LATER), now=1.0) is Verdict.SLOW
    assert batch.name in window.flights


def test_a_refused_batch_is_read_again_and_parked_the_second_time():
    batch = held(1)
    window = in_flight(batch)
    receipt = Receipt(batch.name, batch.digest, REFUSED)
    assert window.judge("center", receipt, now=1.0) is Verdict.READ_AGAIN
    window.flights[batch.name].attempt = 2
    assert window.judge("center", receipt, now=2.0) is Verdict.PARK


def test_two_groups_that_refuse_once_each_park_nothing():
    batch = held(1)
    window = in_flight(batch, groups=("soc", "ioc"))
    receipt = Receipt(batch.name, batch.digest, REFUSED)
    assert Verdict.READ_AGAIN is window.judge("soc", receipt, now=1.0)
    assert Verdict.READ_AGAIN is window.judge("ioc", receipt, now=2.0)
    window.flights[batch.name].attempt += 1
    assert Verdict.PARK is window.judge("soc", receipt, now=3.0)


def test_a_second_refusal_of_the_same_sending_is_of_a_copy_that_was_not_ours():
    batch = held(1)
    window = in_flight(batch)
    receipt = Receipt(batch.name, batch.digest, REFUSED)
    assert window.judge("center", receipt, now=1.0) is Verdict.READ_AGAIN
    assert window.judge("center", receipt, now=1.0) is Verdict.NOTHING
    assert window.judge("center", receipt._replace(outcome=COMMITTED), now=1.0) is Verdict.DONE


def test_a_conflict_asks_for_a_new_epoch_and_any_other_rejection_drops():
    batch = held(1)
    for reason, verdict in (("conflict", Verdict.CONFLICT), ("limit", Verdict.DONE), (None, Verdict.DONE)):
        window = in_flight(batch)
        assert verdict is window.judge("center", Receipt(batch.name, batch.digest, REJECTED, reason), now=1.0)
        flight = window.flights[batch.name]
        assert (True, f"dropped:rejected-{reason or 'unknown'}") == (flight.is_over, flight.what)


@pytest.mark.parametrize("reason", ["limit", "conflict"])
@pytest.mark.parametrize("is_rejected_first", [True, False])
def test_the_rejection_of_one_group_ends_custody_for_that_group_alone_and_is_remembered(reason, is_rejected_first):
    batch = held(1)
    window = in_flight(batch, groups=("center", "archive"))
    said = [
        ("archive", Receipt(batch.name, batch.digest, REJECTED, reason)),
        ("center", Receipt(batch.name, batch.digest, COMMITTED)),
    ]
    first, last = said if is_rejected_first else reversed(said)
    assert window.judge(*first, now=1.0) is not Verdict.DONE
    assert not window.flights[batch.name].is_over
    assert window.judge(*last, now=2.0) in {Verdict.DONE, Verdict.CONFLICT}
    flight = window.flights[batch.name]
    assert (True, f"dropped:rejected-{reason}") == (flight.is_over, flight.what)


def test_not_relay_is_about_names_and_ends_no_custody():
    batch = held(1)
    window = in_flight(batch)
    assert Verdict.HOLD_BACK is window.judge(
        "center", Receipt(batch.name, batch.digest, REJECTED, "not-relay"), now=1.0
    )
    assert not window.flights[batch.name].is_over


def test_what_a_group_says_again_after_its_say_changes_nothing():
    batch = held(1)
    window = in_flight(batch, groups=("soc", "ioc"))
    window.judge("soc", Receipt(batch.name, batch.digest, COMMITTED), now=1.0)
    for outcome in (REFUSED, REFUSED, REJECTED, LATER):
        assert Verdict.NOTHING is window.judge("soc", Receipt(batch.name, batch.digest, outcome), now=2.0)
    assert {"ioc"} == window.flights[batch.name].waiting
    assert {} == window.put_off()


def test_a_group_that_answers_later_is_named_with_its_reason_until_it_has_its_say():
    batch = held(1)
    window = in_flight(batch, groups=("soc", "ioc"))
    window.judge("ioc", Receipt(batch.name, batch.digest, LATER, "disk"), now=1.0)
    assert {"ioc": "disk"} == window.put_off()
    window.judge("ioc", Receipt(batch.name, batch.digest, COMMITTED), now=9.0)
    assert {} == window.put_off()


def test_only_the_group_that_is_waited_for_is_called_silent():
    batch = held(1)
    window = in_flight(batch, groups=("soc", "ioc"))
    window.judge("soc", Receipt(batch.name, batch.digest, COMMITTED), now=5.0)
    assert {"ioc": 30.0} == window.silences(30.0)
    window.add(held(2), 40.0)
    assert {"soc": 60.0, "ioc": 100.0} == window.silences(100.0)


def test_a_batch_that_waits_long_is_no_silence_while_other_receipts_come():
    batches = [held(seq) for seq in range(1, 100)]
    window = in_flight(*batches)
    for second, batch in enumerate(batches[1:], 1):
        window.judge("center", Receipt(batch.name, batch.digest, COMMITTED), now=float(second))
        window.remove(window.flights[batch.name])
    assert 2.0 == window.unheard_seconds(100.0)
    assert {"center": 2.0} == window.silences(100.0)


def test_silence_begins_with_the_connection_and_ends_with_a_greeting():
    window = in_flight(held(1))
    assert 70.0 == window.unheard_seconds(70.0)
    window.connected(70.0)
    assert 1.0 == window.unheard_seconds(71.0)
    window.greet("center", 90.0)
    assert (1.0, {"center": 1.0}) == (window.unheard_seconds(91.0), window.silences(91.0))


def test_nobody_is_silent_while_nothing_waits_or_only_a_trial():
    window = in_flight(groups=("soc",))
    window.add(held(1), 0.0, is_trial=True)
    assert (0.0, {}, []) == (window.unheard_seconds(500.0), window.silences(500.0), window.due(500.0))


def test_to_a_group_that_does_not_answer_only_the_oldest_goes_again_while_the_other_takes_new_ones():
    window = in_flight(held(1), held(2), groups=("soc", "ioc"))
    sent = []
    for second in range(1, 400):
        new = held(second + 2)
        window.add(new, float(second)).attempt = 1
        for flight in list(window.flights.values()):
            window.judge("soc", Receipt(flight.held.name, flight.held.digest, COMMITTED), now=float(second))
        sent += [flight.held.name.seq for flight in window.due(float(second))]
    assert {1} == set(sent)
    assert 5 <= len(sent) <= 7


def test_a_batch_that_a_group_never_answers_while_it_answers_others_is_given_up():
    never = held(1)
    window = in_flight(never)
    second = 0
    while not window.ignored():
        second += 1
        new = held(second + 1)
        window.add(new, float(second)).attempt = 1
        window.judge("center", Receipt(new.name, new.digest, COMMITTED), now=float(second))
        window.remove(window.flights[new.name])
        for flight in window.due(float(second)):
            flight.sent = float(second)
    assert [never] == [flight.held for flight in window.ignored()]
    assert IGNORED * RESEND_SECONDS == second


def test_only_the_oldest_is_sent_again_while_nobody_answers():
    first, second = held(1), held(2)
    window = in_flight(first, second)
    assert [flight.held.name.seq for flight in window.due(RESEND_SECONDS)] == [1]
    assert window.due(RESEND_SECONDS + 1) == []
    assert [flight.held.name.seq for flight in window.due(3 * RESEND_SECONDS)] == [1]


def test_what_is_overdue_is_sent_again_once_receipts_come():
    first, second, third = held(1), held(2), held(3)
    window = in_flight(first, second, third)
    for flight in window.due(RESEND_SECONDS):
        flight.attempt += 1
    window.judge("center", Receipt(first.name, first.digest, COMMITTED), now=RESEND_SECONDS + 1)
    window.remove(window.flights[first.name])
    assert [flight.held.name.seq for flight in window.due(RESEND_SECONDS + 1)] == [2, 3]


def test_each_lane_may_have_one_batch_in_flight_when_the_window_is_full():
    window = in_flight(held(1, size=5000))
    assert not window.has_room(1)
    assert window.has_room(0)
    assert window.has_room(2)


def test_a_batch_at_three_losses_is_suspect_and_lost_alone_it_is_given_up():
    window = in_flight(held(1))
    (flight,) = window.flights.values()
    for _ in range(3):
        flight.is_out = True
        assert window.lost() == []
    assert [flight] == window.suspects()
    flight.alone = flight.is_out = True
    assert window.lost() == [flight]


def test_a_batch_that_was_not_sent_on_a_connection_is_not_lost_with_it():
    window = in_flight(held(1))
    for _ in range(5):
        assert window.lost() == []
    assert window.suspects() == []


def test_an_acknowledged_batch_is_no_suspect_when_connections_break():
    window = in_flight(held(1))
    for _ in range(5):
        flight = next(iter(window.flights.values()))
        flight.is_out, flight.acked = False, True
        window.lost()
    assert window.suspects() == []


def test_urgent_goes_first_and_the_others_keep_a_tenth():
    lanes = Lanes()
    sent = [0, 0, 0]
    for _ in range(1000):
        lane = lanes.pick([100, 100, 100])
        sent[lane] += 100
        lanes.sent(lane, 100, waiting=[True, True, True])
    assert sent[0] > sent[1] + sent[2]
    assert all(0.08 <= sent[lane] / sum(sent) <= 0.12 for lane in (1, 2))


def test_an_idle_lane_saves_up_no_credit():
    lanes = Lanes()
    for _ in range(1000):
        lanes.sent(0, 100_000, waiting=[True, False, False])
    assert lanes.pick([100, 100, 100]) == 0
