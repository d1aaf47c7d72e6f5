import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.batches import BOOT, COLUMNS, EPOCH, HEAD, HOP, ROW, body_of, make_head, make_payload

from wire.batch import (
    MAX_PAYLOAD,
    Hop,
    Refused,
    compress,
    decode_head,
    decode_payload,
    decode_rows,
    digest,
    encode_head,
    encode_payload,
)
from wire.names import MAX_SEQ, BatchName

BODY = body_of([ROW])
GOOD = msgspec.msgpack.decode(encode_head(HEAD))
NAME = BatchName(EPOCH, 1, 1)


def encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def changed(**values: object) -> bytes:
    return encode({**GOOD, **values})


def refusal(payload: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode_payload(payload)
    return caught.value


def test_a_batch_comes_back_as_it_was_sent() -> None:
    hop = Hop(sender="gw-02", tier=1, path=("gw-01",), attempt=3, sent_ns=7)
    batch = decode_payload(make_payload(body=BODY, hop=hop))
    assert (hop, HEAD, BODY, NAME) == (batch.hop, batch.head, batch.body, batch.name)
    assert digest(batch.head_bytes, batch.body) == batch.digest
    assert [list(ROW)] == decode_rows(batch)


def test_the_digest_is_blake2b_of_head_and_body_one_after_the_other() -> None:
    assert digest(b"ab", b"c") == digest(b"a", b"bc")
    assert digest(b"abc", b"").hex() == "cf4ab791c62b8d2b2109c90275287816"  # python hashlib and b2sum -l 128 agree


def test_unknown_keys_of_head_and_hop_are_ignored() -> None:
    head = changed(later="and more", most=[1, {"a": 2}])
    said = {"sender": "gw-01", "tier": 2, "path": [], "attempt": 1, "sent_ns": HOP.sent_ns, "later": {"x": 1}}
    batch = decode_payload(encode([1, said, digest(head, BODY), head, BODY]))
    assert (batch.head, batch.hop) == (HEAD, HOP)


def test_a_wrong_digest_is_refused_with_the_name_for_the_receipt() -> None:
    head = encode_head(HEAD)
    refused = refusal(encode_payload(HOP, digest=bytes(16), head=head, body=BODY))
    assert ("digest", NAME, bytes(16), "gw-01") == (refused.reason, refused.name, refused.digest, refused.origin)


def test_a_head_that_is_wrong_but_for_its_name_is_refused_with_the_name() -> None:
    refused = refusal(make_payload(changed(columns=[]), body=BODY))
    assert (refused.reason, refused.name) == ("undecodable", NAME)


def test_rows_that_are_not_what_the_head_says_are_refused_with_the_name() -> None:
    batch = decode_payload(make_payload(make_head(rows=2), body=BODY))
    with pytest.raises(Refused) as caught:
        decode_rows(batch)
    assert (NAME, batch.digest, "gw-01") == (caught.value.name, caught.value.digest, caught.value.origin)


@pytest.mark.parametrize(("key", "value"), [("encoding", "arrow"), ("codec", "lz4")])
def test_an_unknown_encoding_travels_but_its_rows_are_refused(key: str, value: str) -> None:
    batch = decode_payload(make_payload(make_head(**{key: value}), body=b"opaque"))
    with pytest.raises(Refused):
        decode_rows(batch)


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("limit", bytes(MAX_PAYLOAD + 1)),
        ("limit", make_payload(changed(later="x" * 5000), body=BODY)),
        ("undecodable", b""),
        ("undecodable", encode([])),
        ("undecodable", encode(1)),
        ("undecodable", encode({})),
        ("undecodable", encode([2, {}, bytes(16), b"", b""])),
        ("undecodable", encode([True, {}, bytes(16), b"", b""])),
        ("undecodable", encode([1, {}, bytes(15), b"", b""])),
        ("undecodable", encode([1, [], bytes(16), b"", b""])),
        ("undecodable", encode([1, {}, bytes(16), "", b""])),
        ("undecodable", encode([1, {}, bytes(16), b"", b"", b""])),
        ("undecodable", make_payload(body=BODY) + b"\0"),
        ("undecodable", make_payload(b"", body=BODY)),
        ("undecodable", make_payload(b"\x91\xc0", body=BODY)),
        ("undecodable", make_payload(b"\x91" * 3000 + b"\xc0", body=BODY)),
    ],
)
def test_what_is_no_payload_is_refused_without_a_name(reason: str, payload: bytes) -> None:
    refused = refusal(payload)
    assert (reason, None) == (refused.reason, refused.name)


@pytest.mark.parametrize(
    "values",
    [
        {"sender": "Gw"},
        {"sender": None},
        {"tier": -1},
        {"tier": 256},
        {"tier": True},
        {"path": "gw"},
        {"path": ["a b"]},
        {"path": ["a"] * 17},
        {"attempt": 0},
        {"sent_ns": 1.0},
        {"sent_ns": 1 << 63},
    ],
)
def test_a_hop_out_of_its_ranges_is_refused(values: dict[str, object]) -> None:
    said = {"sender": "gw-01", "tier": 2, "path": [], "attempt": 1, "sent_ns": 0, **values}
    head = encode_head(HEAD)
    assert refusal(encode([1, said, digest(head, BODY), head, BODY])).name == NAME


@pytest.mark.parametrize(
    ("reason", "values"),
    [
        ("undecodable", {"agent": "../etc"}),
        ("undecodable", {"agent": "a" * 64}),
        ("undecodable", {"agent": b"gw"}),
        ("undecodable", {"site": "-a"}),
        ("undecodable", {"stream": "state"}),
        ("undecodable", {"stream": ""}),
        ("undecodable", {"lane": 3}),
        ("undecodable", {"lane": -1}),
        ("undecodable", {"lane": False}),
        ("undecodable", {"lane": 1.0}),
        ("undecodable", {"epoch": EPOCH[1:]}),
        ("undecodable", {"epoch": "0123456789abcdef"}),
        ("undecodable", {"seq": 0}),
        ("undecodable", {"seq": MAX_SEQ + 1}),
        ("undecodable", {"rows": 0}),
        ("undecodable", {"rows": -1}),
        ("limit", {"rows": 100_001}),
        ("undecodable", {"columns": []}),
        ("undecodable", {"columns": None}),
        ("undecodable", {"columns": [["a"]]}),
        ("undecodable", {"columns": [["a", "int", 1]]}),
        ("undecodable", {"columns": [["a", "decimal"]]}),
        ("undecodable", {"columns": [["a", ["int"]]]}),
        ("undecodable", {"columns": [[{"a": 1}, "int"]]}),
        ("undecodable", {"columns": [["A", "int"]]}),
        ("undecodable", {"columns": [["site", "str"]]}),
        ("undecodable", {"columns": [["a", "int"], ["a", "str"]]}),
        ("undecodable", {"columns": [["raw", "bytes"], ["raw_b64", "str"]]}),
        ("undecodable", {"columns": ["ab"]}),
        ("undecodable", {"first_ns": None}),
        ("undecodable", {"last_ns": 1 << 63}),
        ("undecodable", {"encoding": None}),
        ("undecodable", {"codec": 1}),
        ("undecodable", {"dictionary": b"x"}),
        ("undecodable", {"boot": BOOT + b"x"}),
        ("undecodable", {"mono_ns": "1"}),
        ("undecodable", {"clock": "right"}),
        ("undecodable", {"clock": ["synced"]}),
    ],
)
def test_a_head_out_of_its_ranges_is_refused(reason: str, values: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        decode_head(changed(**values))
    assert reason == caught.value.reason


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"dictionary"}))
def test_a_head_without_one_of_its_keys_is_refused(key: str) -> None:
    with pytest.raises(Refused):
        decode_head(encode({name: value for name, value in GOOD.items() if name != key}))


def test_the_head_of_a_stream_with_many_columns_stays_below_its_limit() -> None:
    columns = COLUMNS + tuple((f"a_rather_long_column_{index}", "bytes") for index in range(100))
    assert decode_head(encode_head(make_head(columns=columns))).columns == columns


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_batch_or_refused(data: bytes) -> None:
    for payload in (
        data,
        make_payload(data, body=BODY),
        make_payload(body=data),
        encode([1, {}, bytes(16), data, data]),
    ):
        try:
            decode_rows(decode_payload(payload))
        except Refused as refused:
            assert refused.reason in {"limit", "undecodable", "digest"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES, min_size=1, max_size=3), VALUES)
def test_any_values_in_head_and_rows_give_a_batch_or_refused(values: dict[str, object], row: object) -> None:
    try:
        batch = decode_payload(make_payload(changed(**values), body=compress(encode([row]))))
        decode_rows(batch)
    except Refused as refused:
        assert refused.reason in {"limit", "undecodable"}
