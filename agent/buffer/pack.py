"""From sealed to packed: compress, and halve what is too large for one message.

The border between two rows is found by skipping over MessagePack, without building a single value.
"""

from collections.abc import Iterator
from typing import Final

import msgpack

from agent.buffer.rows import Packed, Sealed
from agent.encode import shrink_row
from wire.batch import MAX_HEAD, compress

_ARRAY_32: Final = 0xDD  # MessagePack: array with a length of four bytes


def pack(sealed: Sealed, *, limit_bytes: int) -> Iterator[Packed]:
    """Compress a batch; one whose message would be over `limit_bytes` is halved by rows until its parts are not.

    A single row that is still too large loses what is least missed (`agent/encode.py`).
    """
    limit = max(limit_bytes - MAX_HEAD, limit_bytes // 2)  # the head travels in the same message
    waiting = [sealed]
    while waiting:
        one = waiting.pop()
        body = compress(one.body)
        if len(body) > limit and one.rows > 1:
            waiting += reversed(_halves(one))
            continue
        is_shrunk = len(body) > limit
        if is_shrunk:
            body = _shrunk(one, limit)
        yield Packed(one.stream, one.columns, one.lane, one.rows, body, one.first_ns, one.last_ns, is_shrunk)


def _shrunk(sealed: Sealed, limit: int) -> bytes:
    unpacker = _unpacker(sealed.body)
    unpacker.read_array_header()
    row = sealed.body[unpacker.tell() :]
    return compress(b"\x91" + shrink_row(sealed.columns, row, fits=lambda row: len(compress(b"\x91" + row)) <= limit))


def _halves(sealed: Sealed) -> tuple[Sealed, Sealed]:
    unpacker = _unpacker(sealed.body)
    unpacker.read_array_header()
    start = unpacker.tell()
    first = sealed.rows // 2
    for _ in range(first):
        unpacker.skip()
    border = unpacker.tell()
    return _part(sealed, sealed.body[start:border], first), _part(sealed, sealed.body[border:], sealed.rows - first)


def _part(sealed: Sealed, data: bytes, rows: int) -> Sealed:
    """A part of a batch; its times stay those of the whole, which still hold between them all its rows."""
    body = bytes((_ARRAY_32,)) + rows.to_bytes(4, "big") + data
    return Sealed(sealed.stream, sealed.columns, sealed.lane, rows, body, sealed.first_ns, sealed.last_ns)


def _unpacker(body: bytes) -> msgpack.Unpacker:
    unpacker = msgpack.Unpacker(max_buffer_size=0, strict_map_key=False)
    unpacker.feed(body)
    return unpacker
