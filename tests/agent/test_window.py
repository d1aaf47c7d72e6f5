"""The custody window: what ends a flight and what does not."""

import os

from agent.buffer.rows import Held
from agent.forward.lanes import Lanes
from agent.forward.window import RESEND_SECONDS, Verdict, Window
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


def test_a_second_refusal_of_the_same_sending_is_of_a_copy_that_was_not_ours():
    batch = held(1)
    window = in_flight(batch)
    receipt = Receipt(batch.name, batch.digest, REFUSED)
    assert window.judge("center", receipt, now=1.0) is Verdict.READ_AGAIN
    assert window.judge("center", receipt, now=1.0) is Verdict.NOTHING
    assert window.judge("center", receipt._replace(outcome=COMMITTED), now=1.0) is Verdict.DONE


def test_a_conflict_asks_for_a_new_epoch_and_any_other_rejection_drops():
    batch = held(1)
    conflict = Receipt(batch.name, batch.digest, REJECTED, "conflict")
    limit = Receipt(batch.name, batch.digest, REJECTED, "limit")
    assert in_flight(batch).judge("center", conflict, now=1.0) is Verdict.CONFLICT
    assert in_flight(batch).judge("center", limit, now=1.0) is Verdict.DROP


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
    batch = held(1)
    window = in_flight(batch)
    for _ in range(3):
        assert window.lost() == []
    (flight,) = window.suspects()
    flight.alone = True
    assert window.lost() == [flight]


def test_an_acknowledged_batch_is_no_suspect_when_connections_break():
    window = in_flight(held(1))
    for _ in range(5):
        next(iter(window.flights.values())).acked = True
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
