"""Rows to MessagePack, totally: whatever a collector puts, encoded bytes come out.

    rows (tuples) ──► one msgspec call a piece ──► array header cut off ──► pieces that can be concatenated

The common case is one call for a whole chunk, 0.08 µs a row where a loop over rows takes a microsecond. Only when
that call fails are values looked at one by one. A row too large for a message is shrunk later, by the buffer, which
alone knows its compressed size.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

PIECE_BYTES: Final = 1 << 20
PIECE_ROWS: Final = 1000
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_MESSAGE_KEPT: Final = 16_384  # characters of `message` that stay when a row is too large even without `raw`
_TEXT_KEPT: Final = 1_024  # and of every text, when that was still too large

_encode = msgspec.msgpack.Encoder().encode


class Piece(NamedTuple):
    """Encoded rows without their array header."""

    data: bytes
    rows: int


def encode_rows(rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]:
    """Encode rows in order, in pieces of at most `PIECE_ROWS` rows and, unless it is one row, `PIECE_BYTES`.

    A value that MessagePack cannot hold is mended, never refused.
    """
    for start in range(0, len(rows), PIECE_ROWS):
        yield from _encode_piece(rows[start : start + PIECE_ROWS])


def _encode_piece(rows: Sequence[tuple[Any, ...]]) -> Iterator[Piece]:
    try:
        data = _encode(rows)
    except (TypeError, ValueError, OverflowError, RecursionError):
        data = _encode([_mend(row) for row in rows])
    if len(data) <= PIECE_BYTES or len(rows) == 1:
        yield Piece(data[_header_bytes(len(rows)) :], len(rows))
        return
    middle = len(rows) // 2
    yield from _encode_piece(rows[:middle])
    yield from _encode_piece(rows[middle:])


def _header_bytes(rows: int) -> int:
    """How long the array header is: fixarray below 16, array 16 below 65,536 (MessagePack specification)."""
    return 1 if rows < 16 else 3


def _mend(value: Any, depth: int = 0) -> Any:
    """Make any value encodable: lone surrogates escaped, integers beyond 64 bits nil, the unknown its repr."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return value if _INT_MIN <= value <= _INT_MAX else None
    if isinstance(value, dict) and depth < 8:
        return {_mend(key, depth + 1): _mend(item, depth + 1) for key, item in value.items()}
    if isinstance(value, tuple | list) and depth < 8:
        return [_mend(item, depth + 1) for item in value]
    return _mend(repr(value))


def shrink_row(columns: Sequence[tuple[str, str]], row: bytes, *, fits: Callable[[bytes], bool]) -> bytes:
    """Give one encoded row again, small enough for a message: it loses `raw`, then the tail of `message`, then more.

    Args:
        columns: of the row's stream.
        row: one encoded row, without header.
        fits: whether an encoded row is small enough, after compression.

    Returns:
        The row, with `shrunk` added to its `flag` when it has that column and anything was taken away.
    """
    values = dict(zip((name for name, _ in columns), msgspec.msgpack.decode(row), strict=True))
    for step in (_without_raw, _without_tail, _bare):
        if fits(row):
            break
        step(values)
        if "flag" in values:
            values["flag"] = " ".join(dict.fromkeys([*(values["flag"] or "").split(), "shrunk"]))
        row = _encode(list(values.values()))
    return row


def _without_raw(values: dict[str, Any]) -> None:
    if "raw" in values:
        values["raw"] = None


def _without_tail(values: dict[str, Any]) -> None:
    if isinstance(values.get("message"), str):
        values["message"] = values["message"][:_MESSAGE_KEPT]


def _bare(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, str | bytes):
            values[name] = value[:_TEXT_KEPT]
        elif isinstance(value, dict | list):
            values[name] = None
