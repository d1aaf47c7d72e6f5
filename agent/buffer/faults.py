"""Which errors of the disk are states, what a sysadmin is told, and what mends each."""

import sqlite3
from typing import Final, NamedTuple


class StoreHeld(Exception):
    """Another agent holds the store."""


class StateDirFailed(Exception):
    """The state directory cannot be made or entered."""


class Fault(NamedTuple):
    """A failing disk as a state: its word, what is wrong, what to do."""

    state: str
    problem: str
    remedy: str


_FAULTS: Final[dict[int, Fault]] = {  # SQLite's primary result codes (sqlite.org/rescode.html)
    8: Fault("read-only", "the file system is read-only", "look for I/O errors in `dmesg`, then remount it writable"),
    10: Fault("io-error", "the disk reports I/O errors", "look at `dmesg` and `smartctl -a`; replace the disk"),
    11: Fault("corrupt", "the buffer file was damaged and set aside", "keep the *.corrupt file; check disk and power"),
    13: Fault("full", "the disk is full", "free space on the file system of the state directory: `df -h`"),
    14: Fault("unopenable", "the buffer file cannot be opened", "check owner and permissions of the state directory"),
    26: Fault("corrupt", "the buffer file is no database and was set aside", "keep the *.corrupt file; check the disk"),
}


def fault_of(error: Exception) -> Fault | None:
    """Give the state that an error of SQLite or the file system stands for, or None: then it is a bug."""
    if isinstance(error, OSError):
        return Fault("io-error", f"the disk fails: {error.strerror}", "look at `df -h` and `dmesg`")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _FAULTS.get(code) if isinstance(error, sqlite3.Error) else None
