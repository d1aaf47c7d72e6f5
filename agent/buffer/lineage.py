"""Whether a WAL belongs to the file beside it: SQLite takes any WAL that is whole, and makes a medley of the two.

A backup that copies the file and its WAL one after the other, or a file restored beside the WAL of another day, is such
a pair. So the first commit of every WAL names it, and the one before: the file alone must say one of the two.

    mark (own, `wal`) = 8 random bytes of this WAL ‖ 8 bytes of the WAL before it, which is wholly in the file

It has to be asked before the store is opened: SQLite copies a WAL into the file even when it only closes it, and cuts
the file to the length that the WAL says.
"""

import fcntl
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from agent.buffer.tables import WAL

_BYTES: Final = 8
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCK_AT, _LOCK_BYTES = 1 << 30, 512  # of SQLite's own locks, sqlite.org/c3ref/io_methods.html: PENDING_BYTE and after


def next_name(before: bytes) -> bytes:
    """Name a new WAL, after the one that is in the file."""
    return os.urandom(_BYTES) + (before[:_BYTES] or bytes(_BYTES))


def has_wal(path: Path) -> bool:
    """Whether there is anything beside the file."""
    wal = Path(f"{path}-wal")
    return wal.exists() and wal.stat().st_size > 0


def alone(path: Path) -> sqlite3.Connection:
    """Read a file as if it had no WAL, without a lock."""
    return _read(path, "immutable=1")


def together(path: Path) -> sqlite3.Connection:
    """Read a file with its WAL, without a lock and without writing a byte."""
    db = _read(path, "vfs=unix-none")
    db.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()  # else SQLite wants to make a file of shared memory
    return db


def _read(path: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=ro&{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def belongs(path: Path) -> bool:
    """Tell whether the WAL beside a file is its own; so it is while nothing proves the contrary.

    Raises:
        OSError: the file cannot be opened to be written.
    """
    if not has_wal(path) or not path.stat().st_size:
        return True
    with path.open("rb+") as file, suppress(BlockingIOError):  # another program has it open: SQLite will say so
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_AT)
        return _belongs(path)
    return True


def _belongs(path: Path) -> bool:
    said = b""
    with (
        suppress(sqlite3.Error, UnicodeError),
        closing(alone(path)) as db,
    ):  # half a checkpoint makes no sense alone: no proof
        said = _name_in(db)
    try:
        with closing(together(path)) as db:
            name = _name_in(db)
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED
    except UnicodeError:
        return False
    return not said or not name or said == name or said[:_BYTES] == name[_BYTES:]


def _name_in(db: sqlite3.Connection) -> bytes:
    """What a file says of its WAL; nothing if it is too young to say."""
    found = db.execute("SELECT value FROM mark WHERE collector = ? AND key = ?", WAL).fetchone()
    is_name = found is not None and type(found[0]) is bytes and len(found[0]) == 2 * _BYTES
    return bytes(found[0]) if is_name else b""
