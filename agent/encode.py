"""Rows to MessagePack, totally: whatever a collector puts, encoded bytes come out that every receiver takes.

    rows (tuples) ──maps and lists looked through──► one msgspec call ──► array header cut off ──► pieces to be joined
                     (only of streams that need it)    └─ fails: values looked at one by one

The common case is one call for a whole chunk, 0.08 µs a row where a loop over rows takes a microsecond. A row beyond a
limit of the wire is changed here and flagged, for with one such row a receiver would refuse its whole batch; one that
is too large for a message is shrunk later, by the buffer, which alone knows its compressed size.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agent.limits import fit_row
from collectors.sink import Stream
from wire.body import MAX_ROW

PIECE_BYTES: Final = 384 << 10  # with `intake.BATCH_BYTES` less than the 1,000,000 nested values that a batch may have
PIECE_ROWS: Final = 1000
SHRUNK: Final = "shrunk"
_MESSAGE_KEPT: Final = 16_384  # characters of `message` that stay when a row is too large even without `raw`
_TEXT_KEPT: Final = 1_024  # and of every text, when that was still too large
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)

_encode = msgspec.msgpack.Encoder().encode
Rows = Sequence[tuple[Any, ...]]


class Piece(NamedTuple):
    """Encoded rows without their array header."""

    data: bytes
    rows: int


class Encoded(NamedTuple):
    """Pieces that follow each other; how many rows lost something, and how many had a value made encodable."""

    pieces: list[Piece]
    shrunk: int
    mended: int


def encode_rows(rows: Rows, stream: Stream) -> Encoded:
    """Encode rows in order, in pieces of at most `PIECE_ROWS` rows and, unless it is one row, `PIECE_BYTES`."""
    nested = stream.nested
    pieces: list[Piece] = []
    shrunk = mended = 0
    for start in range(0, len(rows), PIECE_ROWS):
        some = rows[start : start + PIECE_ROWS]
        fitted, lost, changed = _fit(some, nested, stream) if nested else (some, 0, 0)
        try:
            data = _encode(fitted)
        except _UNENCODABLE:
            fitted, lost, changed = _fit(some, None, stream)
            data = _encode(fitted)
        some, shrunk, mended = fitted, shrunk + lost, mended + changed
        if len(data) <= PIECE_BYTES:
            pieces.append(Piece(data[_header_bytes(len(some)) :], len(some)))
        else:
            shrunk += _cut_up(some, stream, pieces)
    return Encoded(pieces, shrunk, mended)


def _fit(rows: Rows, nested: Sequence[int] | None, stream: Stream) -> tuple[Rows, int, int]:
    """Give rows within the limits, and how many were shrunk and mended."""
    fitted = [fit_row(row, nested) for row in rows]
    if not any(one.is_shrunk or one.is_mended for one in fitted):
        return rows, 0, 0
    flagged = [_flagged(one.value, stream) if one.is_shrunk else one.value for one in fitted]
    return flagged, sum(one.is_shrunk for one in fitted), sum(one.is_mended for one in fitted)


def _flagged(row: tuple[Any, ...], stream: Stream) -> tuple[Any, ...]:
    return tuple(_add_flag(dict(zip(stream.row._fields, row, strict=True))).values())


def _add_flag(values: dict[str, Any]) -> dict[str, Any]:
    """Say in a row's `flag`, where it has one, that it is not whole."""
    if "flag" in values:
        values["flag"] = " ".join(dict.fromkeys([*(values["flag"] or "").split(), SHRUNK]))
    return values


def _cut_up(rows: Rows, stream: Stream, pieces: list[Piece]) -> int:
    """Add many large rows in halves until each is small, or one row; give how many had to be shrunk."""
    data = _encode(rows)[_header_bytes(len(rows)) :]
    if len(data) > PIECE_BYTES and len(rows) > 1:
        middle = len(rows) // 2
        return _cut_up(rows[:middle], stream, pieces) + _cut_up(rows[middle:], stream, pieces)
    is_too_large = len(rows) == 1 and len(data) > MAX_ROW
    if is_too_large:
        data = shrink_row(stream.columns, data, fits=lambda row: len(row) <= MAX_ROW)
    pieces.append(Piece(data, len(rows)))
    return int(is_too_large)


def _header_bytes(rows: int) -> int:
    """How long the array header is: fixarray below 16, array 16 below 65,536 (MessagePack specification)."""
    return 1 if rows < 16 else 3


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
        row = _encode(list(_add_flag(values).values()))
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
