"""Packing: a batch that is too large for a message becomes several, before any of them has a name."""

import random

import msgspec
import pytest
from parts.buffers import COLUMNS

from agent.buffer.pack import pack
from agent.buffer.rows import Sealed
from wire.body import decode_body

RANDOM = random.Random(7)


def batch(rows):
    values = [(None, number, RANDOM.randbytes(size // 2).hex()) for number, size in enumerate(rows)]
    return Sealed("log", COLUMNS, 1, len(rows), msgspec.msgpack.encode(values), 0, len(rows)), values


def unpacked(packed):
    return [tuple(row) for one in packed for row in decode_body(one.body, one.columns, one.rows)]


@pytest.mark.parametrize("rows", [[40] * 5, [900] * 1000, [40] * 70_000, [100_000, 40, 40], [40, 90_000], [60_000] * 7])
def test_the_parts_hold_the_same_rows_in_the_same_order_each_within_the_limit(rows):
    sealed, values = batch(rows)
    packed = list(pack(sealed, limit_bytes=128 << 10))
    assert unpacked(packed) == values
    assert all(len(one.body) <= 124 << 10 for one in packed)
    assert sum(one.rows for one in packed) == len(rows)


def test_a_small_batch_is_one_part():
    sealed, _ = batch([40] * 1000)
    assert len(list(pack(sealed, limit_bytes=128 << 10))) == 1


def test_a_single_row_above_the_limit_is_shrunk_and_ends():
    sealed, _ = batch([1 << 20])
    (one,) = pack(sealed, limit_bytes=16 << 10)
    assert len(one.body) <= 16 << 10
    assert one.rows == 1
    assert unpacked([one])[0][1] == 0


def test_a_body_of_any_array_header_is_cut():
    for count in (2, 15, 16, 65_535, 65_536):
        values = [(None, number, str(RANDOM.random())) for number in range(count)]
        sealed = Sealed("log", COLUMNS, 1, count, msgspec.msgpack.encode(values), 0, 1)
        packed = list(pack(sealed, limit_bytes=max(64, len(sealed.body) // 20)))
        assert [row[1] for row in unpacked(packed)] == list(range(count))
