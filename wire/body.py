"""The body of a batch: rows as MessagePack, compressed once with zstd.

    rows (array of arrays) ──msgspec──► bytes ──compress──► body ──decode_body──► rows, every limit checked

Compressing runs on the buffer's writer thread, decoding at the last hop; everybody between copies bytes.
Sources: RFC 8878 (zstd frames), the MessagePack specification.
"""

import threading
from collections.abc import Iterator, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any, Final

import zstandard

from wire.decode import GARBAGE, LIMIT, UNDECODABLE, Refused, unpacker

MAX_ROWS: Final = 100_000
MAX_CELLS: Final = 500_000  # rows x columns, ten times what an agent sends: 1 KiB of 4 million took 650 MiB and 7 s
MAX_FRAME: Final = 16 << 20
MAX_WINDOW: Final = 8 << 20
MAX_ROW: Final = 1 << 20
MAX_NESTED: Final = 1_000_000  # values inside maps and lists, over the whole batch
MAX_LIST: Final = 10_000  # elements of a list, keys of a map
MAX_DEPTH: Final = 16
LEVEL: Final = 1  # 0.22 µs a row of 155 bytes, which become 22; level 3 takes twice as long for 8 % less

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878 section 3.1.1: not a skippable frame, not a legacy one
_SCALARS: Final = frozenset({NoneType, bool, int, float, str, bytes})
_ALLOWED: Final[dict[str, frozenset[type]]] = {
    "time": frozenset({int, NoneType}),
    "int": frozenset({int, NoneType}),
    "float": frozenset({float, int, NoneType}),
    "bool": frozenset({bool, NoneType}),
    "str": frozenset({str, NoneType}),
    "bytes": frozenset({bytes, NoneType}),
    "map": frozenset({dict, NoneType}),
    "list": frozenset({list, NoneType}),
}
COLUMN_TYPES: Final = frozenset(_ALLOWED)


class _PerThread(threading.local):
    """Contexts of zstd: costly to make (200 KiB, 30 µs), not safe to share between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)


_zstd = _PerThread()


def compress(rows: bytes) -> bytes:
    """Compress encoded rows into one zstd frame that declares its size. The digest is its checksum."""
    return _zstd.compressor.compress(rows)


def decompress(body: bytes) -> bytes:
    """Undo `compress`, for a body that anybody may have made.

    Raises:
        Refused: not exactly one frame, no declared size, or a size or window over the limit.
    """
    if not body.startswith(_ZSTD_MAGIC):
        raise Refused(UNDECODABLE, "not a zstd frame")
    try:
        frame = zstandard.get_frame_parameters(body)
        _check_frame(frame)
        return _zstd.decompressor.decompress(body, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise Refused(UNDECODABLE, "not one whole zstd frame") from error


def _check_frame(frame: zstandard.FrameParameters) -> None:
    """Look before the leap: python-zstandard ignores `max_output_size` when the frame declares a size."""
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN:
        raise Refused(UNDECODABLE, "the zstd frame declares no size")
    if frame.content_size > MAX_FRAME:
        raise Refused(LIMIT, "the rows are larger than 16 MiB")
    if frame.window_size > MAX_WINDOW:
        raise Refused(LIMIT, "the zstd window is larger than 8 MiB")
    if frame.dict_id:
        raise Refused(UNDECODABLE, "the zstd frame needs a dictionary")


def decode_body(body: bytes, columns: Sequence[tuple[str, str]], rows: int) -> list[list[Any]]:
    """Decompress and decode the rows of a batch.

    Args:
        body: as it came.
        columns: name and type of each column, as the head has them.
        rows: how many there must be.

    Raises:
        Refused: `limit` or `undecodable`; the rows are whole or not given at all.
    """
    if rows > MAX_ROWS or rows * len(columns) > MAX_CELLS:
        raise Refused(LIMIT, "too many rows")
    data = decompress(body)
    data = data[_header_end(data, rows) :]
    if len(data) > MAX_ROW:
        _check_row_sizes(data, rows)
    found: list[list[Any]] = []
    budget = MAX_NESTED
    for chunk in _chunks(data, rows):
        _check_types(chunk, columns)
        budget -= _nested(chunk, columns)
        if budget < 0:
            raise Refused(LIMIT, "too many values inside maps and lists")
        found.extend(chunk)
    return found


def _chunks(data: bytes, rows: int) -> Iterator[list[Any]]:
    """Unpack about `MAX_ROW` bytes of rows at a time, so that a bomb ends before it has taken much memory."""
    reader = unpacker(data, array=MAX_LIST, text=MAX_ROW)
    left = rows
    while left:
        chunk: list[Any] = []
        end = reader.tell() + MAX_ROW
        try:
            while len(chunk) < left and reader.tell() < end:
                chunk.append(reader.unpack())
        except GARBAGE as error:
            raise Refused(UNDECODABLE, "the rows are not MessagePack within the limits") from error
        left -= len(chunk)
        yield chunk
    if reader.tell() != len(data):
        raise Refused(UNDECODABLE, "bytes after the last row")


def _check_types(rows: list[Any], columns: Sequence[tuple[str, str]]) -> None:
    """Check by column: 0.5 µs a row of 18 columns, half of what row by row takes."""
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(columns)}:
        raise Refused(UNDECODABLE, "a row is not as wide as the columns")
    for index, (_, kind) in enumerate(columns):
        if not _ALLOWED[kind].issuperset(map(type, map(itemgetter(index), rows))):
            raise Refused(UNDECODABLE, f"a value of column {index} is no {kind}")


def _header_end(data: bytes, rows: int) -> int:
    """Read the array header in any of its three forms and compare it with the head."""
    first = data[:1]
    if b"\x90" <= first <= b"\x9f":
        length, end = first[0] & 0x0F, 1
    elif first == b"\xdc":
        length, end = int.from_bytes(data[1:3], "big"), 3
    elif first == b"\xdd":
        length, end = int.from_bytes(data[1:5], "big"), 5
    else:
        raise Refused(UNDECODABLE, "the rows are no array")
    if length != rows:
        raise Refused(UNDECODABLE, "other rows than the head says")
    return end


def _check_row_sizes(data: bytes, rows: int) -> None:
    """Walk a large body without building anything: no row may be over `MAX_ROW`."""
    reader = unpacker(data, array=MAX_LIST, text=MAX_ROW)
    before = 0
    try:
        for _ in range(rows):
            reader.skip()
            if reader.tell() - before > MAX_ROW:
                raise Refused(LIMIT, "a row is larger than 1 MiB")
            before = reader.tell()
    except GARBAGE as error:
        raise Refused(UNDECODABLE, "the rows are not MessagePack within the limits") from error


def _nested(rows: list[list[Any]], columns: Sequence[tuple[str, str]]) -> int:
    """Count the values inside the maps and lists of checked rows.

    Raises:
        Refused: a key that is no str, or nesting beyond `MAX_DEPTH`.
    """
    of_many = [index for index, (_, kind) in enumerate(columns) if kind in {"map", "list"}]
    return sum(_count(row[index], 1) for index in of_many for row in rows if row[index])


def _count(value: Any, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise Refused(LIMIT, "nested too deeply")
    count = len(value)
    if type(value) is dict:
        if set(map(type, value)) - {str}:
            raise Refused(UNDECODABLE, "a key of a map is no str")
        value = value.values()
    for item in value:
        if item and type(item) not in _SCALARS:
            count += _count(item, depth + 1)
    return count
