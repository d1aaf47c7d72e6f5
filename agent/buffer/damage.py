"""Damaged files: set aside, never deleted; what their small tables still say.

    buffer.db ──set aside──► buffer-<UTC>.damaged ──salvaged (salvage.py)──► buffer-<UTC>.salvaged

Moved are the file and its WAL, which holds the newest commits.
"""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agent.buffer.lineage import alone, has_wal, together
from agent.buffer.tables import LaneRow, Row, Tables, is_sound, read_with
from wire.names import LANES

DAMAGED: Final = ".damaged"
SALVAGED: Final = ".salvaged"
_FAR: Final = 1 << 40  # keys a lane will never count through; where it goes on when its old keys cannot be read


def set_aside(path: Path) -> Path:
    """Move a file and its WAL out of the way; say where to. Done again after a kill in between, it goes on."""
    target = half_aside(path) or _free(path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    _move(path, target)
    return target


def half_aside(path: Path) -> Path | None:
    """Where the file was being moved to when a kill came in between; None if it was not."""
    return next((target for target in waiting(path.parent) if path.exists() and target.samefile(path)), None)


def set_done(path: Path) -> None:
    """Mark a damaged file as salvaged; what was in it stays in it."""
    _move(path, path.with_suffix(SALVAGED))


def waiting(folder: Path) -> list[Path]:
    """Damaged files that are still to be salvaged, oldest first."""
    return sorted(folder.glob(f"*{DAMAGED}"))


def connect(path: Path) -> sqlite3.Connection:
    """Open a damaged file for reading; its WAL is read too, and neither is written."""
    db = together(path) if has_wal(path) else alone(path)
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA writable_schema=ON")  # else SQLite reads nothing of a file shorter than its header says
    return db


def read_tables_of(path: Path) -> Tables:
    """Read what can be read of the small tables: every row that makes sense, up to where reading ends."""
    tables = Tables(lanes=[])
    with suppress(sqlite3.Error, UnicodeError), closing(connect(path)) as db:
        tables = read_with(db, sound_rows)
    if len(tables.lanes) != len(LANES):
        start = _FAR * (1 + len(list(path.parent.glob(f"*{SALVAGED}"))) + len(waiting(path.parent)))
        tables.lanes = [LaneRow(start) for _ in LANES]
    return tables


def sound_rows(db: sqlite3.Connection, query: str, *kinds: type) -> list[Row]:
    """Give the rows of a query that make sense, until reading ends."""
    found: list[Row] = []
    with suppress(sqlite3.Error, UnicodeError):
        found.extend(row for row in db.execute(query) if is_sound(row, *kinds))
    return found


def _free(path: Path, stamp: str) -> Path:
    """A name that is not taken; a second file within one second gets a number."""
    for number in range(1, 1000):
        name = f"{path.stem}-{stamp}{'' if number == 1 else f'-{number}'}"
        if not list(path.parent.glob(f"{name}.*")):
            return path.with_name(name + DAMAGED)
    raise FileExistsError(path)


def _move(source: Path, target: Path) -> None:
    """Move a file and its WAL as one: a kill at any point leaves two whole files under one of the names, or both."""
    with suppress(PermissionError):  # no links on this file system: then by renaming alone
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError, FileExistsError):
                Path(f"{target}{suffix}").hardlink_to(f"{source}{suffix}")
    for suffix in ("-wal", ""):  # the WAL first, so that no new store ever finds an old one's
        old, new = Path(f"{source}{suffix}"), Path(f"{target}{suffix}")
        with suppress(FileNotFoundError):
            if new.exists():
                old.unlink()
            else:
                old.rename(new)
