"""SQLite's door to the file system, wrapped: every call can be told to fail, and every write and sync is recorded.

    with watched() as door:                    # connections opened meanwhile go through it
        door.fail = lambda call: READ_FAILED if call.number == 17 else 0
        ...

`parts/power.py` makes of the record what a power cut would have left of the files.
Built with ctypes on the library that Python's sqlite3 has loaded (sqlite.org/vfs.html, sqlite3.h: `sqlite3_vfs`,
`sqlite3_io_methods`). The calls themselves go on to SQLite's own unix layer, so what fails here fails as it does there.
"""

import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

READ_FAILED, TRUNCATE_FAILED, DELETE_FAILED = 266, 1546, 2570  # SQLite's extended result codes
NAME = b"watched"

_p, _i, _n = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_READ = ctypes.CFUNCTYPE(_i, _p, _p, _i, _n)
_TRUNCATE = ctypes.CFUNCTYPE(_i, _p, _n)
_SYNC = ctypes.CFUNCTYPE(_i, _p, _i)
_CLOSE = ctypes.CFUNCTYPE(_i, _p)
_OPEN = ctypes.CFUNCTYPE(_i, _p, ctypes.c_char_p, _p, _i, _p)
_DELETE = ctypes.CFUNCTYPE(_i, _p, ctypes.c_char_p, _i)


class _Methods(ctypes.Structure):
    _fields_ = [("version", _i), ("close", _p), ("read", _p), ("write", _p), ("truncate", _p), ("sync", _p)] + [
        (f"rest{number}", _p) for number in range(13)
    ]


class _Vfs(ctypes.Structure):
    _fields_ = [("version", _i), ("file_bytes", _i), ("path_bytes", _i), ("next", _p), ("name", ctypes.c_char_p)] + [
        (name, _p) for name in ("data", "open", "delete", *(f"rest{number}" for number in range(16)))
    ]


class Call(NamedTuple):
    """One call that is about to be made: the how-manieth of all, what, and to which file (by its last name)."""

    number: int
    what: str
    file: str


class Entry(NamedTuple):
    """One change that was made: `write` (offset, data), `truncate` (offset), `create`, `delete`, `sync`, `lost`.

    `lost` is a sync that failed.
    """

    what: str
    path: str
    offset: int = 0
    data: bytes = b""


@dataclass
class Door:
    """What went through, and what is to fail."""

    log: list[Entry]
    fail: Callable[[Call], int] = lambda _: 0
    calls: int = 0
    tears: bool = False  # a write that fails has written its first half

    def ask(self, what: str, path: str) -> int:
        """Count a call, and say whether it is to fail."""
        self.calls += 1
        return self.fail(Call(self.calls, what, Path(path).name))


class _Library:
    """The wrapped layer; made once a process, because SQLite keeps pointers into it."""

    def __init__(self) -> None:
        self.door = Door([])
        self.sqlite = ctypes.CDLL("libsqlite3.so.0")
        find = self.sqlite.sqlite3_vfs_find
        find.restype, find.argtypes = _p, [ctypes.c_char_p]
        self.own = _Vfs.from_address(find(b"unix"))
        self.wrapped = _Vfs.from_buffer_copy(self.own)
        self.paths: dict[int, str] = {}  # file → its path
        self.methods: dict[int, Any] = {}  # of the unix layer → ours, which are kept alive here
        self.original: dict[int, _Methods] = {}  # file → methods of the unix layer
        self._opened, self._deleted = _OPEN(self._open), _DELETE(self._delete)
        self.wrapped.name = NAME
        self.wrapped.open = ctypes.cast(self._opened, _p)
        self.wrapped.delete = ctypes.cast(self._deleted, _p)

    def use(self, vfs: _Vfs) -> None:
        """Let connections that are opened from now on go through this layer."""
        self.sqlite.sqlite3_vfs_register(ctypes.byref(vfs), 1)

    # --- the calls, each told to the door first --------------------------------------------------------------------

    def _open(self, vfs: int, name: bytes | None, file: int, flags: int, out: int) -> int:
        path = (name or b"").decode()
        failure = self.door.ask("open", path)
        if failure:
            ctypes.c_void_p.from_address(file).value = None
            return failure
        if path and not Path(path).exists():
            self.door.log.append(Entry("create", path))
        result = int(_OPEN(self.own.open)(vfs, name, file, flags, out))
        address = ctypes.c_void_p.from_address(file).value
        if result == 0 and address:
            self.paths[file], self.original[file] = path, _Methods.from_address(address)
            ours = self.methods.setdefault(address, self._wrap(self.original[file]))
            ctypes.c_void_p.from_address(file).value = ctypes.addressof(ours)
        return result

    def _wrap(self, original: _Methods) -> _Methods:
        ours = _Methods.from_buffer_copy(original)
        calls = {
            "read": _READ(self._read),
            "write": _READ(self._write),
            "truncate": _TRUNCATE(self._truncate),
            "sync": _SYNC(self._sync),
            "close": _CLOSE(self._close),
        }
        for name, call in calls.items():
            setattr(ours, name, ctypes.cast(call, _p))
        ours.kept = calls  # type: ignore[attr-defined]
        return ours

    def _read(self, file: int, data: int, size: int, offset: int) -> int:
        return self.door.ask("read", self.paths[file]) or _READ(self.original[file].read)(file, data, size, offset)

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        failure = self.door.ask("write", self.paths[file])
        written = size if not failure else size // 2 if self.door.tears else 0
        result = _READ(self.original[file].write)(file, data, written, offset) if written else 0
        if written and result == 0:
            self.door.log.append(Entry("write", self.paths[file], offset, ctypes.string_at(data, written)))
        return failure or result

    def _truncate(self, file: int, size: int) -> int:
        failure = self.door.ask("truncate", self.paths[file])
        if not failure:
            failure = _TRUNCATE(self.original[file].truncate)(file, size)
            self.door.log.append(Entry("truncate", self.paths[file], size))
        return failure

    def _sync(self, file: int, flags: int) -> int:
        failure = self.door.ask("sync", self.paths[file])
        if failure:
            self.door.log.append(Entry("lost", self.paths[file]))
            return failure
        result = _SYNC(self.original[file].sync)(file, flags)
        self.door.log.append(Entry("sync", self.paths[file]))
        return result

    def _close(self, file: int) -> int:
        return _CLOSE(self.original[file].close)(file)

    def _delete(self, vfs: int, name: bytes, is_synced: int) -> int:
        failure = self.door.ask("delete", name.decode())
        if not failure:
            failure = _DELETE(self.own.delete)(vfs, name, is_synced)
            self.door.log.append(Entry("delete", name.decode()))
        return failure


_library: _Library | None = None


@contextmanager
def watched() -> Iterator[Door]:
    """Let every connection that is opened meanwhile go through a new door."""
    global _library
    try:
        _library = _library or _Library()
    except OSError as error:
        leave_out(f"no libsqlite3.so.0 to look into: {error}")
    library = _library
    assert library is not None
    library.door = door = Door([])
    library.use(library.wrapped)
    try:
        sqlite3.connect("file:/dev/null?mode=ro", uri=True).close()
        if not door.calls:
            leave_out("Python's sqlite3 does not use the system's library")
        door.calls = 0
        yield door
    finally:
        library.use(library.own)


def leave_out(reason: str) -> None:
    """As `conftest.py` does it: said, and with CI=true a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
