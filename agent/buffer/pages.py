"""Batches out of the single pages of a damaged file, without the tree that should lead to them.

One damaged page near the root hides everything below it, although all of it is there. Here every page is looked at for
itself: a leaf of a table, cell by cell, each with its chain of overflow pages; what makes no batch is passed over, and
the digest decides what does. Pages of the WAL come after those of the file. (sqlite.org/fileformat2.html, sections
1.5 freelist, 1.6 B-tree pages, 2.1 records, 4.1 WAL)
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from agent.buffer.schema import PAGE_BYTES

_LEAF: Final = 13  # a leaf of a table
_COLUMNS: Final = 11  # of the table `batch`
_MAX_PAYLOAD: Final = 4 << 20  # above every batch
_MAX_LOCAL: Final = PAGE_BYTES - 35
_MIN_LOCAL: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
_FRAME: Final = struct.Struct(">II8sQ")  # page number, size after commit, salts, checksums
_WAL_HEADER_BYTES: Final = 32
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)  # by serial type

Row = tuple[int, int, bytes, bytes, bytes]
"""id, committed_ns, digest, head, body: as `SELECT` would give it, but of values that nothing vouches for."""


class Broken(Exception):
    """These bytes are no cell of ours."""


class Pages:
    """The pages of a file and its WAL, by number from 0: first those of the file, then the frames of the WAL."""

    def __init__(self, file: int, wal: int | None) -> None:
        self._file = file
        self._wal = wal
        self.in_file = os.fstat(file).st_size // PAGE_BYTES
        self._frames = self._index() if wal is not None else []
        self._newest = {number: at for at, (number, _) in enumerate(self._frames)}  # page number → its last frame

    def _index(self) -> list[tuple[int, int]]:
        """Page number and offset of each frame that was written since the WAL last began anew."""
        assert self._wal is not None
        salts = os.pread(self._wal, _WAL_HEADER_BYTES, 0)[16:24]
        frames = []
        step = _FRAME.size + PAGE_BYTES
        for at in range(_WAL_HEADER_BYTES, os.fstat(self._wal).st_size - step + 1, step):
            number, _, found, _ = _FRAME.unpack(os.pread(self._wal, _FRAME.size, at))
            if found != salts:
                break
            frames.append((number, at + _FRAME.size))
        return frames

    def __len__(self) -> int:
        return self.in_file + len(self._frames)

    def __getitem__(self, index: int) -> bytes:
        with suppress(OSError):  # a page that the disk does not give is one more damaged page
            if index < self.in_file:
                return os.pread(self._file, PAGE_BYTES, index * PAGE_BYTES)
            assert self._wal is not None
            return os.pread(self._wal, PAGE_BYTES, self._frames[index - self.in_file][1])
        return b""

    def overflow(self, number: int, *, is_in_wal: bool) -> bytes:
        """A page by SQLite's number, from 1, as a page of the file or of the WAL would refer to it."""
        frame = self._newest.get(number) if is_in_wal else None
        index = number - 1 if frame is None else self.in_file + frame
        if not 0 <= index < len(self) or len(page := self[index]) < PAGE_BYTES:
            raise Broken
        return page

    def free(self) -> set[int]:
        """The pages of the file that hold nothing any more, as far as their list can be read."""
        found: set[int] = set()
        trunk = int.from_bytes(self[0][32:36], "big") if self.in_file else 0
        while 0 < trunk <= self.in_file and trunk - 1 not in found:
            found.add(trunk - 1)
            page = self[trunk - 1]
            count = min(int.from_bytes(page[4:8], "big"), PAGE_BYTES // 4 - 2)
            leaves = struct.unpack_from(f">{count}I", page, 8) if len(page) == PAGE_BYTES else ()
            found.update(number - 1 for number in leaves)
            trunk = int.from_bytes(page[:4], "big")
        return found


@contextmanager
def pages_of(path: Path) -> Iterator[Pages]:
    """Open a file and its WAL, if it has one."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    wal = None
    try:
        with suppress(FileNotFoundError):
            wal = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        yield Pages(file, wal)
    finally:
        os.close(file)
        if wal is not None:
            os.close(wal)


def rows_on(pages: Pages, index: int) -> Iterator[Row]:
    """Everything on one page that looks like a batch."""
    page = pages[index]
    if len(page) < PAGE_BYTES or page[0] != _LEAF:
        return
    count = min(int.from_bytes(page[3:5], "big"), PAGE_BYTES // 4)
    for at in struct.unpack_from(f">{count}H", page, 8):
        with suppress(Broken, IndexError, struct.error):
            yield _row(*_cell(pages, page, at, is_in_wal=index >= pages.in_file))


def _cell(pages: Pages, page: bytes, at: int, *, is_in_wal: bool) -> tuple[int, bytes]:
    """The row id and the record of a cell."""
    size, at = _varint(page, at)
    key, at = _varint(page, at)
    if size > _MAX_PAYLOAD:
        raise Broken
    if size <= _MAX_LOCAL:
        return key, page[at : at + size]
    local = _MIN_LOCAL + (size - _MIN_LOCAL) % (PAGE_BYTES - 4)
    local = local if local <= _MAX_LOCAL else _MIN_LOCAL
    record = bytearray(page[at : at + local])
    number = int.from_bytes(page[at + local : at + local + 4], "big")
    while len(record) < size:
        more = pages.overflow(number, is_in_wal=is_in_wal)
        record += more[4 : 4 + size - len(record)]
        number = int.from_bytes(more[:4], "big")
    return key, bytes(record)


def _row(key: int, record: bytes) -> Row:
    size, at = _varint(record, 0)
    kinds = []
    while at < size:
        kind, at = _varint(record, at)
        kinds.append(kind)
    if len(kinds) != _COLUMNS:
        raise Broken
    values = []
    for kind in kinds:
        value, at = _value(record, at, kind)
        values.append(value)
    *_, committed_ns, digest, head, body = values
    if list(map(type, (committed_ns, digest, head, body))) != [int, bytes, bytes, bytes] or at != len(record):
        raise Broken
    return key, committed_ns, digest, head, body


def _value(record: bytes, at: int, kind: int) -> tuple[Any, int]:
    """One value by its serial type, texts and floats left as they are: none of ours is needed."""
    if kind in {8, 9}:
        return kind - 8, at
    if kind < len(_INTEGER_BYTES):
        end = at + _INTEGER_BYTES[kind]
        return int.from_bytes(record[at:end], "big", signed=True) if kind else None, end
    end = at + (8 if kind == 7 else (kind - 12) // 2)
    return bytes(record[at:end]) if kind >= 12 and kind % 2 == 0 else None, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    return value << 8 | data[at + 8], at + 9
