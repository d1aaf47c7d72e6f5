import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.batches import EPOCH

from wire.decode import Refused
from wire.names import MAX_SEQ, BatchName
from wire.receipts import MAX_MESSAGE, MAX_RECEIPTS, OUTCOMES, Receipt, decode_receipts, encode_receipts

RECEIPTS = st.builds(
    Receipt,
    st.builds(BatchName, st.binary(min_size=16, max_size=16), st.integers(0, 2), st.integers(1, MAX_SEQ)),
    st.binary(min_size=16, max_size=16),
    st.sampled_from(sorted(OUTCOMES)),
    st.none() | st.sampled_from(["digest", "conflict", "not-relay"]),
)
ENTRY = [EPOCH, 1, 7, bytes(16), "committed", None]


def encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


@settings(deadline=None)
@given(st.lists(RECEIPTS, max_size=20))
def test_receipts_come_back_as_they_were_given(receipts: list[Receipt]) -> None:
    assert ("center", receipts) == decode_receipts(encode_receipts("center", receipts))


def test_an_outcome_of_a_later_version_is_left_out_and_the_others_count() -> None:
    later = [*ENTRY[:4], "postponed", None]
    group, receipts = decode_receipts(encode([1, "center", [later, ENTRY]]))
    assert ("center", [Receipt(BatchName(EPOCH, 1, 7), bytes(16), "committed")]) == (group, receipts)


def test_ten_thousand_receipts_fit_a_message() -> None:
    receipts = [Receipt(BatchName(EPOCH, 1, MAX_SEQ), bytes(16), "rejected", "undecodable")] * MAX_RECEIPTS
    assert len(decode_receipts(encode_receipts("a" * 63, receipts))[1]) == MAX_RECEIPTS


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(MAX_MESSAGE + 1),
        encode([2, "center", []]),
        encode([True, "center", []]),
        encode([1, "Center", []]),
        encode([1, None, []]),
        encode([1, "center", {}]),
        encode([1, "center"]),
        encode([1, "center", [[]]]),
        encode([1, "center", [[*ENTRY, 1]]]),
        encode([1, "center", [[*ENTRY[:5], "a reason"]]]),
        encode([1, "center", [[*ENTRY[:5], 1]]]),
        encode([1, "center", [[*ENTRY[:4], 1, None]]]),
        encode([1, "center", [[*ENTRY[:3], b"", "committed", None]]]),
        encode([1, "center", [[EPOCH, 3, 7, bytes(16), "committed", None]]]),
        encode([1, "center", [[EPOCH, True, 7, bytes(16), "committed", None]]]),
        encode([1, "center", [[EPOCH, 1, 0, bytes(16), "committed", None]]]),
        encode([1, "center", [[b"", 1, 7, bytes(16), "committed", None]]]),
        encode([1, "center", [ENTRY] * (MAX_RECEIPTS + 1)]),
        encode([1, "center", [ENTRY]]) + b"\0",
    ],
)
def test_what_is_no_message_of_receipts_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused):
        decode_receipts(payload)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.lists(st.none() | st.integers() | st.binary() | st.text(), max_size=8))
def test_any_bytes_give_receipts_or_refused(data: bytes, entry: list[object]) -> None:
    bounded = [value for value in entry if not isinstance(value, int) or abs(value) < 1 << 63]
    for payload in (data, b"\x93\x01\xa1a" + data, encode([1, "center", [bounded]])):
        try:
            decode_receipts(payload)
        except Refused as refused:
            assert refused.reason in {"limit", "undecodable"}
