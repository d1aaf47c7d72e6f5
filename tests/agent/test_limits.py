"""Whatever is put, a receiver takes: no row may cost the batch it travels in."""

import asyncio
import socket
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from parts.brokers import mosquitto
from parts.buffers import NOBODY
from parts.site import site, until

from agent.buffer import Buffer, BufferSettings, Origin, Sealed
from agent.buffer.pack import pack
from agent.encode import encode_rows
from agent.intake import BATCH_BYTES, Intake
from collectors.sink import Stream, Time
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.fast import parse_frames
from collectors.syslog.rows import SYSLOG, SyslogRow
from collectors.syslog.slow import Origin as Peer
from collectors.syslog.slow import Reading, parse_line
from collectors.syslog.structured_data import MAX_PARAMS
from collectors.syslog.times import Times
from wire.batch import Batch, decode_rows
from wire.body import MAX_DEPTH, MAX_LIST, MAX_NESTED, MAX_ROW, decode_body
from wire.head import decode_head


class AnyRow(NamedTuple):
    time: Time | None
    received: Time
    number: int | None
    text: str | None
    message: str | None
    detail: dict[str, Any] | None
    items: list[Any] | None
    flag: str | None
    raw: bytes | None


ANY = Stream("any", AnyRow, source="text")
INNOCENT = (None, 1, 7, "innocent", None, {"a": [1]}, [2], None, None)


def received(rows, stream=ANY, message_bytes=128 << 10):
    """What a receiver decodes of rows that are put at once."""
    encoded = encode_rows(rows, stream)
    count = sum(piece.rows for piece in encoded.pieces)
    body = b"\xdd" + count.to_bytes(4, "big") + b"".join(piece.data for piece in encoded.pieces)
    sealed = Sealed(stream.name, stream.columns, 1, count, body, 1, 1)
    packed = pack(sealed, limit_bytes=message_bytes)
    return [row for one in packed for row in decode_body(one.body, stream.columns, one.rows)]


def deep(levels, value=None):
    """A map, and in it lists and maps in turn, so many levels in all."""
    for level in range(levels, 1, -1):
        value = [value] if level % 2 else {"k": value}
    return {"k": value}


odd = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.sampled_from(["\ud800", "é"]), st.dates(), st.builds(object), st.builds(deep, st.integers(0, 40)),
    st.builds(lambda n: list(range(n)), st.sampled_from([0, MAX_LIST, MAX_LIST + 1])),
    st.builds(lambda n: {str(k): None for k in range(n)}, st.sampled_from([1, MAX_LIST, MAX_LIST + 1])),
)  # fmt: skip
key = st.one_of(st.text(max_size=2), st.integers(), st.binary(max_size=2), st.none(), st.just("\udfff"))
nested = st.recursive(odd, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=4))
row = st.builds(
    AnyRow,
    st.none() | st.integers(0, 1 << 62),
    st.integers(0, 1 << 62),
    st.none() | st.integers(-(1 << 70), 1 << 70),
    st.none() | st.text(st.characters(codec=None), max_size=5),
    st.none() | st.builds(lambda n: "m" * n, st.sampled_from([0, 9, 70_000, MAX_ROW + 1])),
    st.none() | st.dictionaries(key, nested, max_size=4),
    st.none() | st.lists(nested, max_size=4),
    st.sampled_from([None, "no-pri"]),
    st.none() | st.builds(bytes, st.sampled_from([0, 9, MAX_ROW + 1])),
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(row, max_size=5))
@example([AnyRow(*INNOCENT)._replace(items=[""] * 12_000)])
@example([AnyRow(*INNOCENT)._replace(detail=deep(MAX_DEPTH + 1))])
@example([AnyRow(*INNOCENT)._replace(message="m" * MAX_ROW, raw=b"r" * MAX_ROW)])
@example([AnyRow(*INNOCENT)._replace(detail={1: {None: {1.5: set("ab")}}, "x": "\ud800"})])
def test_any_row_that_is_put_is_taken_by_a_receiver_and_no_innocent_row_is_touched(rows):
    rows = [tuple(one) for one in rows]
    got = received([INNOCENT, *rows, INNOCENT])
    assert 2 + len(rows) == len(got)
    assert [list(INNOCENT)] * 2 == [got[0], got[-1]]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1 << 32).map(Random), st.integers(0, 3))
def test_a_row_that_no_compression_makes_small_is_shrunk_and_no_innocent_row_is_touched(chance, times):
    noise = chance.randbytes(200_000).hex()
    rows = [INNOCENT, *[(None, 1, 7, "x", noise, {"n": noise[:9_000]}, None, None, b"raw")] * times, INNOCENT]
    got = received(rows, message_bytes=16 << 10)
    assert [list(INNOCENT)] * 2 == [got[0], got[-1]]
    assert ["shrunk"] * times == [each[7] for each in got[1:-1]]


def test_what_is_within_the_limits_is_not_touched():
    rows = [
        (None, 1, (1 << 64) - 1, "t", "m" * 200_000, deep(MAX_DEPTH - 1), list(range(MAX_LIST)), None, b"r" * 600_000),
        (None, 1, -(1 << 63), "t", None, {str(number): None for number in range(MAX_LIST)}, [], "no-pri", b""),
    ]
    encoded = encode_rows(rows, ANY)
    assert (0, 0) == (encoded.shrunk, encoded.mended)
    assert [list(each) for each in rows] == received(rows, message_bytes=900 << 10)


def test_each_row_that_lost_something_is_flagged_and_counted_once():
    rows = [
        (*INNOCENT[:6], [0] * (MAX_LIST + 1), None, None),
        (*INNOCENT[:5], deep(MAX_DEPTH + 1), [0] * (MAX_LIST + 1), "no-pri", None),
        (*INNOCENT[:4], "m" * (MAX_ROW + 1), *INNOCENT[5:]),
        INNOCENT,
        (*INNOCENT[:5], {1: "x"}, *INNOCENT[6:]),
    ]
    encoded = encode_rows(rows, ANY)
    assert (3, 1) == (encoded.shrunk, encoded.mended)
    assert ["shrunk", "no-pri shrunk", "shrunk", None, None] == [each[7] for each in received(rows)]


def test_a_batch_never_holds_more_nested_values_than_a_receiver_takes():
    """Whatever the pieces: an open batch below its bound and the largest piece on top of it."""
    small = encode_rows([(*INNOCENT[:6], [None] * 9_900, None, None)] * 200, ANY).pieces
    assert BATCH_BYTES + max(len(piece.data) for piece in small) < MAX_NESTED
    (large,) = encode_rows([(*INNOCENT[:6], [[None] * 9_900] * 90, None, None)], ANY).pieces
    assert BATCH_BYTES + sum(len(each) for each in decoded(large)[0][6]) < MAX_NESTED


def decoded(piece):
    return msgspec.msgpack.decode(bytes((0x90 | piece.rows,)) + piece.data)


# ---- syslog: bounded by its own collector ----

READING = Reading("windows-1258", Times("UTC"))
READING.times.at(1_800_000_000_000_000_000)
element = st.builds(
    lambda name, count, param: f"[{name}" + f" {param}" * count + "]",
    st.sampled_from(["x", "y@1"]),
    st.sampled_from([0, 1, 2, 999, 1_000, 1_001, 12_000]),
    st.sampled_from(['y=""', 'p="v"', 'q="\\""']),
)
ids = st.builds(lambda count: "".join(f"[e{number}]" for number in range(count)), st.sampled_from([1, 999, 5_000]))
distinct = st.builds(
    lambda count: "[x" + "".join(f' p{number}="v"' for number in range(count)) + "]", st.sampled_from([998, 999, 5_000])
)
data = st.lists(element | ids | distinct, min_size=1, max_size=3).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(data, min_size=1, max_size=3))
@example(["[x" + ' y=""' * 12_000 + "]"])
@example(["[x" + "".join(f' p{number}="v"' for number in range(999)) + "]"])
@example(["[x" + "".join(f' p{number}="v"' for number in range(1_000)) + "]"])
def test_any_structured_data_gives_a_row_that_a_receiver_takes_by_both_paths(texts):
    lines = [f"<14>1 2026-01-01T00:00:00Z h a p m {text} message".encode() for text in texts]
    origins = Origins(1_800_000_000_000_000_000, "udp")
    fast = parse_frames(lines, cut=frozenset(), origins=origins, reading=READING, order=new_order())
    slow = [parse_line(line, origin=Peer(origins.received, None, None, "udp"), reading=READING) for line in lines]
    assert slow == fast
    assert [list(each) for each in fast] == received(fast, SYSLOG, message_bytes=900 << 10)
    for each in fast:
        values = SyslogRow(*each).structured_data or {}
        count = sum(
            1 + sum(len(v) if isinstance(v, list) else 1 for v in params.values()) for params in values.values()
        )
        assert count <= MAX_PARAMS


@pytest.mark.parametrize(("count", "flag"), [(MAX_PARAMS - 1, None), (MAX_PARAMS, "cut-sd"), (12_000, "cut-sd")])
def test_the_thousandth_parameter_is_the_last_and_raw_holds_all(count, flag):
    line = b"<14>1 - h a p m [x" + b' y=""' * count + b"] m"
    one = SyslogRow(*parse_line(line, origin=Peer(1, None, None, "udp"), reading=READING))
    assert (flag, min(count, MAX_PARAMS - 1)) == (one.flag, len(one.structured_data["x"]["y"]))
    assert (line if flag else None, "m") == (one.raw, one.message)


# ---- counted and told ----


async def test_shrunk_and_mended_rows_are_counted_per_stream_wherever_it_happens(tmp_path):
    buffer = await Buffer.open(
        tmp_path, origin=Origin("a1", "s1", bytes(16)), settings=BufferSettings(message_bytes=8 << 10)
    )
    intake = Intake(buffer)
    rows = [
        (*INNOCENT[:6], [0] * (MAX_LIST + 1), None, None),  # in intake
        (*INNOCENT[:3], "\ud800", *INNOCENT[4:]),
        (*INNOCENT[:8], Random(3).randbytes(20_000)),  # in the buffer
    ]
    intake.sink("test").put(ANY, rows)
    await intake.close()
    await asyncio.sleep(0)
    assert {"any": {"shrunk": 2, "mended": 1}} == intake.changed
    found = {(loss.where, loss.reason.name): loss.amount for loss in intake.counted()}
    assert {("any", "shrunk"): 2, ("any", "mended"): 1} == found
    (held,) = [each for each in await buffer.read(1, after=0, limit_bytes=1 << 20) if each.rows == 1][:1]
    assert decode_rows(Batch(NOBODY, held.digest, held.head, held.body, decode_head(held.head)))
    await buffer.close()


# ---- end to end ----


@pytest.mark.needs("mosquitto")
async def test_one_hostile_line_costs_its_neighbours_nothing(tmp_path):
    """`[x y="" y="" ...]`, 12,000 times, between ten innocent lines: the center takes all eleven."""
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            lines = [f"<14>Oct 11 22:14:15 good app: innocent {number}".encode() for number in range(10)]
            lines.insert(5, b"<14>1 - h a p m [x" + b' y=""' * 12_000 + b"] hostile")
            for line in lines:
                sender.sendto(line, ("127.0.0.1", one.port))
        await until(
            lambda: one.account() == {"received": 11, "confirmed": 11}, seconds=20, what="all confirmed", log=one.log
        )
        assert 10 == sum("innocent" in (each["message"] or "") for each in one.rows())
        (hostile,) = [each for each in one.rows() if each["flag"]]
        assert "cut-sd" in hostile["flag"]
