"""Which errors of the disk are states, what a sysadmin is told, and what mends each."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

FULL: Final = "full"
CORRUPT: Final = "corrupt"
BUSY: Final = "busy"
MOVED: Final = "moved"
WRONG_FILE: Final = "wrong-file"
DISK_ERRORS: Final = (sqlite3.Error, OSError)
"""What a call that touches the disk may raise; `fault_of` tells which of them are states."""


class StoreHeld(Exception):
    """Another agent holds the store."""


class StateDirFailed(Exception):
    """The state directory cannot be made or entered."""


class WrongFile(sqlite3.DatabaseError):
    """The file is whole, but not ours to write: of a later format, or of another program."""


class Nonsense(sqlite3.DatabaseError):
    """SQLite reads the file, but what stands in it cannot be: it is damaged."""


class Fault(NamedTuple):
    """A failing disk as a state: its word, what is wrong, what to do."""

    state: str
    problem: str
    remedy: str


_FULL: Final = Fault(FULL, "the disk is full", "free space on the file system of the state directory: `df -h`")
_QUOTA: Final = Fault(
    FULL, "the disk quota is used up", "raise the quota of the agent's user, or free space: `quota -v`"
)
_IO: Final = Fault("io-error", "the disk reports I/O errors", "look at `dmesg` and `smartctl -a`; replace the disk")
_READ_ONLY: Final = Fault("read-only", "the file system is read-only", "look at `dmesg`, then remount it writable")
_DENIED: Final = Fault("unopenable", "the buffer file cannot be opened", "check owner and mode of the state directory")
_BUSY: Final = Fault(BUSY, "another program has the buffer file open", "end it: `fuser -v` on the buffer file")
_MOVED: Final = Fault(
    MOVED, "the buffer file was moved or deleted while in use", "leave the state directory to edgepost"
)
_CORRUPT: Final = Fault(CORRUPT, "the buffer file is damaged", "keep the set-aside file; check disk and power")

_SQLITE_FULL: Final = 13
_SQLITE_IOERR_WRITE: Final = 778
_BY_CODE: Final[dict[int, Fault]] = {  # SQLite's result codes, extended or primary (sqlite.org/rescode.html)
    1032: _MOVED,  # SQLITE_READONLY_DBMOVED
    3: _DENIED,
    5: _BUSY,
    6: _BUSY,
    8: _READ_ONLY,
    10: _IO,
    11: _CORRUPT,
    13: _FULL,
    14: _DENIED,
    15: _BUSY,
    18: _CORRUPT,  # SQLITE_TOOBIG: a length that no batch has
    26: _CORRUPT,
}
_UNDECODABLE: Final = "Could not decode to UTF-8"  # the module's own words, without a code: a text that is none
_BY_ERRNO: Final[dict[int, Fault]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
}


def fault_of(error: Exception) -> Fault | None:
    """Give the state that an error of SQLite or the file system stands for, or None: then it is a bug."""
    if isinstance(error, WrongFile):
        return Fault(WRONG_FILE, str(error), "move the file away, or install the edgepost that wrote it")
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, _IO._replace(problem=f"the disk fails: {error.strerror}"))
    if isinstance(error, Nonsense) or str(error).startswith(_UNDECODABLE):
        return _CORRUPT
    code = getattr(error, "sqlite_errorcode", 0)
    return _BY_CODE.get(code) or _BY_CODE.get(code & 0xFF)


def is_certain(error: Exception) -> bool:
    """Whether a commit that met this error has surely not taken place: its last frame was never written whole.

    After any other error, a failing fsync above all, the frames may lie in the file and be found at the next opening.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == _SQLITE_FULL or code == _SQLITE_IOERR_WRITE


def probe(folder: Path) -> Fault | None:
    """Ask the disk itself by a small write: SQLite calls a used-up quota an I/O error, the kernel tells which it is."""
    path = folder / "probe"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)
    except OSError as error:
        return fault_of(error)
    return None
