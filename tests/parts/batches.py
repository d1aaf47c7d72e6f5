"""Batches as an agent makes them, and zstd frames made by hand, good ones and bombs.

Nothing here depends on a clock, a random number or the version of libzstd.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from wire.batch import Head, Hop, digest, encode_head, encode_payload

EPOCH = bytes(range(16))
BOOT = bytes(range(16, 32))
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
COLUMNS = (("time", "time"), ("received", "time"), ("text", "str"))
ROW = (START_NS, START_NS + 1, "a line")
HOP = Hop(sender="gw-01", tier=2, path=(), attempt=1, sent_ns=START_NS)
HEAD = Head(
    agent="gw-01",
    site="hue",
    stream="log",
    lane=1,
    epoch=EPOCH,
    seq=1,
    rows=1,
    columns=COLUMNS,
    first_ns=START_NS,
    last_ns=START_NS,
    boot=BOOT,
    mono_ns=5_000_000_000,
    clock="synced",
)


def make_head(**changes: Any) -> Head:
    return replace(HEAD, **changes)


def make_payload(head: Head | bytes = HEAD, *, body: bytes, hop: Hop = HOP) -> bytes:
    data = head if isinstance(head, bytes) else encode_head(head)
    return encode_payload(hop, digest=digest(data, body), head=data, body=body)


def body_of(rows: Sequence[Any]) -> bytes:
    return frame(msgspec.msgpack.encode(rows))


def frame(data: bytes, *, block_bytes: int = 65_536) -> bytes:
    """One zstd frame that stores `data` as it is, in raw blocks (RFC 8878, section 3.1.1)."""
    pieces = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)] or [b""]
    blocks = [_block(0, len(piece), piece, last=index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    return frame_header(content=len(data)) + b"".join(blocks)


def bomb(*, size: int, declared: int | None = None, byte: bytes = b"\x90") -> bytes:
    """One zstd frame of `size` equal bytes in run-length blocks: 4 bytes for 128 KiB."""
    count = -(-size // 131_072)
    sizes = [131_072] * (count - 1) + [size - 131_072 * (count - 1)]
    blocks = [_block(1, length, byte, last=index == count - 1) for index, length in enumerate(sizes)]
    return frame_header(content=size if declared is None else declared) + b"".join(blocks)


def frame_header(*, content: int | None, window_log: int = 17) -> bytes:
    """Magic, descriptor, window, and the content size in 8 bytes, or none."""
    descriptor = 0xC0 if content is not None else 0x00
    declared = content.to_bytes(8, "little") if content is not None else b""
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor, (window_log - 10) << 3]) + declared


def _block(kind: int, size: int, content: bytes, *, last: bool) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content
