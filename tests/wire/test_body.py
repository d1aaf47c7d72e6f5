import tracemalloc

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.batches import body_of, bomb, frame, frame_header

from wire.body import COLUMN_TYPES, MAX_CELLS, MAX_FRAME, MAX_LIST, MAX_ROWS, compress, decode_body, decompress
from wire.decode import Refused

ONE = (("a", "list"),)
MIB = 1 << 20


def refusal(body: bytes, columns=ONE, rows: int = 1) -> str:
    with pytest.raises(Refused) as caught:
        decode_body(body, columns, rows)
    return caught.value.reason


def encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def test_rows_survive_compression_and_come_back_as_lists() -> None:
    columns = (("t", "time"), ("n", "int"), ("x", "float"), ("b", "bool"), ("s", "str"), ("r", "bytes"), ("m", "map"))
    rows = [[1, -5, 0.5, True, "é\u2028", b"\xff", {"a": [1, {"b": None}]}], [None] * 7]
    assert rows == decode_body(compress(encode(rows)), columns, 2)


def test_frames_made_by_hand_are_read_like_those_of_libzstd() -> None:
    assert decompress(frame(b"x" * 200_000)) == decompress(compress(b"x" * 200_000))
    assert bytes(MIB) == decompress(bomb(size=MIB, byte=b"\0"))


def test_compress_declares_the_size() -> None:
    assert zstandard.get_frame_parameters(compress(b"abc")).content_size == 3


def test_sixteen_kib_that_unfold_to_512_mib_are_refused_without_unfolding() -> None:
    body = bomb(size=512 * MIB)
    assert len(body) < 17_000
    tracemalloc.start()
    assert refusal(body) == "limit"
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()


def test_a_frame_that_declares_less_than_it_holds_is_refused_within_the_declared_size() -> None:
    tracemalloc.start()
    assert refusal(bomb(size=512 * MIB, declared=1000)) == "undecodable"
    assert tracemalloc.get_traced_memory()[1] < MIB
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("undecodable", b""),
        ("undecodable", b"\x28\xb5\x2f\xfd"),
        ("undecodable", b"\x50\x2a\x4d\x18\x04\0\0\0abcd"),  # a skippable frame
        ("undecodable", frame(encode([[[]]])) + b"\0"),
        ("undecodable", frame(encode([[[]]])) * 2),
        ("undecodable", frame(encode([[[]]]))[:-1]),
        ("undecodable", zstandard.ZstdCompressor(write_content_size=False).compress(encode([[[]]]))),
        ("undecodable", bomb(size=3, declared=4)),
        ("limit", bomb(size=MAX_FRAME + 1)),
        ("limit", frame_header(content=3, window_log=24) + b"\x19\0\0" + encode([[[]]])),
        ("undecodable", frame(b"")),
        ("undecodable", frame(encode([[[]]]) + b"\0")),
        ("undecodable", frame(b"\xdc\x00")),
        ("undecodable", frame(b"\xdd\xff\xff\xff\xff")),
        ("undecodable", frame(encode({}))),
        ("undecodable", body_of([[[]], [[]]])),
        ("undecodable", body_of([])),
        ("undecodable", body_of([[[], 1]])),
        ("undecodable", body_of([[]])),
        ("undecodable", body_of(["a"])),
        ("undecodable", body_of([["a"]])),
        ("undecodable", body_of([[msgspec.msgpack.Ext(1, b"")]])),
        ("undecodable", frame(b"\x91\x91\x91\xc7\x00\xff")),  # an empty timestamp
        ("undecodable", frame(b"\x91\x91\x91\xa2\xed\xa0")),  # half a surrogate
        ("undecodable", body_of([[[{1: 2}]]])),
        ("undecodable", body_of([[[{b"k": 2}]]])),
        ("undecodable", body_of([[[0] * (MAX_LIST + 1)]])),
        ("undecodable", frame(b"\x91\x91" + b"\x91" * 2000 + b"\xc0")),
        ("limit", frame(b"\x91\x91" + b"\x91" * 17 + b"\xc0")),
        ("limit", frame(b"\x91\x91" + b"\x91" * 300 + b"\xc0")),
    ],
)
def test_a_body_that_is_not_exactly_the_rows_is_refused(reason: str, body: bytes) -> None:
    assert reason == refusal(body)


def test_lists_nested_sixteen_deep_are_taken() -> None:
    assert decode_body(frame(b"\x91\x91" + b"\x91" * 16 + b"\xc0"), ONE, 1)


def test_rows_and_cells_are_limited_before_anything_is_unfolded() -> None:
    assert refusal(b"", rows=MAX_ROWS + 1) == "limit"
    wide = tuple((f"c{index}", "int") for index in range(MAX_CELLS // MAX_ROWS + 1))
    assert refusal(b"", wide, rows=MAX_ROWS) == "limit"


def test_a_hundred_thousand_rows_are_taken() -> None:
    rows = [[index] for index in range(MAX_ROWS)]
    assert rows == decode_body(compress(encode(rows)), (("n", "int"),), MAX_ROWS)


@pytest.mark.parametrize(
    "rows",
    [
        b"\xdd\x00\x01\x86\xa0" * 500,  # 500 nested arrays, each said to hold 100,000
        b"\xdc\x27\x10" * 500,  # and each within the limit of a list
        b"\x91" + b"\xdc\x27\x10" + (b"\xdc\x27\x10" + b"\x90" * 10_000) * 100,  # a million empty lists in one row
    ],
)
def test_lists_that_promise_much_take_little(rows: bytes) -> None:
    tracemalloc.start()
    assert refusal(frame(b"\x91" + rows)) in {"undecodable", "limit"}
    assert tracemalloc.get_traced_memory()[1] < 128 * MIB
    tracemalloc.stop()


def test_sixteen_mib_of_empty_lists_are_refused_in_bounded_memory() -> None:
    row = b"\x91\xdc\x27\x10" + b"\x90" * 10_000
    body = compress(b"\xdc" + (1600).to_bytes(2, "big") + row * 1600)
    tracemalloc.start()
    assert refusal(body, rows=1600) == "limit"
    assert tracemalloc.get_traced_memory()[1] < 256 * MIB
    tracemalloc.stop()


@pytest.mark.parametrize("cell", [b"\x80", b"\x90", b"\xa2\xc4\x80"])
def test_a_kib_that_unfolds_to_as_many_cells_as_are_taken_takes_bounded_memory(cell: bytes) -> None:
    kind = {0x80: "map", 0x90: "list", 0xA2: "str"}[cell[0]]
    columns = tuple((f"c{index}", kind) for index in range(40))
    rows = MAX_CELLS // len(columns)
    body = compress(b"\xdd" + rows.to_bytes(4, "big") + (b"\xdc\x00\x28" + cell * len(columns)) * rows)
    assert len(body) < 1024
    tracemalloc.start()
    assert rows == len(decode_body(body, columns, rows))
    assert tracemalloc.get_traced_memory()[1] < 128 * MIB
    tracemalloc.stop()


def test_one_row_beyond_a_mib_is_refused() -> None:
    row = b"\x91\xdc\x27\x10" + (b"\xda\x00\xff" + b"a" * 255) * 10_000
    assert refusal(compress(b"\x91" + row)) == "limit"


@pytest.mark.parametrize("kind", sorted(COLUMN_TYPES))
def test_each_column_takes_its_own_type_and_nil_and_nothing_else(kind: str) -> None:
    samples = {"int": 1, "float": 0.5, "bool": True, "str": "a", "bytes": b"a", "map": {}, "list": []}
    taken = {"time": {"int"}, "float": {"float", "int"}}.get(kind, {kind})
    for name, value in samples.items():
        body = body_of([[None], [value]])
        if name in taken:
            assert [[None], [value]] == decode_body(body, (("c", kind),), 2)
        else:
            assert refusal(body, (("c", kind),), 2) == "undecodable"


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 5))
def test_any_bytes_as_body_give_rows_or_refused(data: bytes, rows: int) -> None:
    for body in (data, frame(data), frame(bytes([0x90 | rows]) + data)):
        try:
            found = decode_body(body, (("a", "map"), ("b", "list")), rows)
        except Refused as refused:
            assert refused.reason in {"limit", "undecodable"}
        else:
            assert len(found) == rows


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_good_body_with_flipped_bytes_gives_rows_or_refused(data: st.DataObject) -> None:
    body = bytearray(compress(encode([[1, {"a": [1, 2, {"b": "c"}]}, "text"]] * 20)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(decode_body(bytes(body), (("n", "int"), ("m", "map"), ("s", "str")), 20)) == 20
    except Refused as refused:
        assert refused.reason in {"limit", "undecodable"}
