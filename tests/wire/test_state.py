from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.batches import EPOCH

from wire.decode import Refused
from wire.state import MAX_SPANS, MAX_STATE, Span, State, decode_state, encode_state, is_gone

STATE = State(
    online=True,
    epoch=EPOCH,
    connection=3,
    current=bytes(range(16, 32)),
    version="0.1.0",
    health="healthy",
    spans=(Span(EPOCH, 0, 5, 4), Span(EPOCH, 1, 17, 400)),
    confirmed={"syslog": 12_000},
    sent_ns=1,
)
GOOD = msgspec.msgpack.decode(encode_state(STATE))[1]
OTHER = bytes(16)


def encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def test_a_state_comes_back_as_it_was_sent() -> None:
    assert decode_state(encode_state(STATE)) == STATE


def test_a_will_needs_only_state_epoch_and_connection() -> None:
    said = {"state": "offline", "epoch": EPOCH, "connection": 3, "later": [1, {"x": 2}]}
    assert State(online=False, epoch=EPOCH, connection=3) == decode_state(encode([1, said]))


def test_batches_are_named_under_the_epoch_of_the_connection_unless_another_is_told() -> None:
    assert EPOCH == State(online=True, epoch=EPOCH, connection=1).naming
    assert OTHER == State(online=True, epoch=EPOCH, connection=1, current=OTHER).naming
    assert OTHER == decode_state(encode([1, {**GOOD, "current": OTHER}])).naming


def test_the_newest_spans_are_kept_when_there_are_too_many() -> None:
    spans = tuple(Span(EPOCH, 1, seq, seq) for seq in range(1, MAX_SPANS + 10))
    payload = encode_state(State(online=True, epoch=EPOCH, connection=1, spans=spans))
    assert len(payload) < MAX_STATE
    assert spans[9:] == decode_state(payload).spans


def test_an_offline_counts_only_for_the_connection_that_was_last_online() -> None:
    def offline(epoch: bytes, connection: int) -> State:
        return State(online=False, epoch=epoch, connection=connection)

    assert is_gone(STATE, offline(EPOCH, 3))
    assert not is_gone(STATE, offline(EPOCH, 2))
    assert not is_gone(STATE, offline(OTHER, 3))
    assert not is_gone(STATE, STATE)
    assert is_gone(replace(STATE, current=OTHER), offline(EPOCH, 3)), "an epoch drawn since is no other connection"
    assert is_gone(None, offline(EPOCH, 3))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(MAX_STATE + 1),
        encode([2, GOOD]),
        encode([1]),
        encode([1, GOOD, 1]),
        encode([1, [GOOD]]),
        encode([1, {**GOOD, "state": "asleep"}]),
        encode([1, {**GOOD, "state": True}]),
        encode([1, {**GOOD, "state": ["online"]}]),
        encode([1, {**GOOD, "epoch": b"short"}]),
        encode([1, {**GOOD, "connection": -1}]),
        encode([1, {**GOOD, "connection": None}]),
        encode([1, {**GOOD, "current": b"short"}]),
        encode([1, {**GOOD, "current": None}]),
        encode([1, {**GOOD, "version": 1}]),
        encode([1, {**GOOD, "health": None}]),
        encode([1, {**GOOD, "sent_ns": "now"}]),
        encode([1, {**GOOD, "spans": {}}]),
        encode([1, {**GOOD, "spans": [[EPOCH, 1, 1]]}]),
        encode([1, {**GOOD, "spans": [[EPOCH, 3, 1, 1]]}]),
        encode([1, {**GOOD, "spans": [[EPOCH, 1, 0, 1]]}]),
        encode([1, {**GOOD, "spans": [[EPOCH, 1, 3, 1]]}]),
        encode([1, {**GOOD, "confirmed": []}]),
        encode([1, {**GOOD, "confirmed": {"Syslog": 1}}]),
        encode([1, {**GOOD, "confirmed": {"syslog": -1}}]),
        encode([1, {**GOOD, "confirmed": {f"s{index}": 1 for index in range(257)}}]),
    ],
)
def test_what_is_no_state_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused):
        decode_state(payload)


VALUES = st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.binary() | st.text() | st.lists(st.text())


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES))
def test_any_bytes_give_a_state_or_refused(data: bytes, values: dict[str, object]) -> None:
    for payload in (data, b"\x92\x01" + data, encode([1, {**GOOD, **values}])):
        try:
            decode_state(payload)
        except Refused as refused:
            assert refused.reason in {"limit", "undecodable"}
