"""Damaged files: set aside, never deleted; what their small tables still say.

    buffer.db ──set aside──► buffer-<UTC>.damaged ──salvaged (salvage.py)──► buffer-<UTC>.salvaged

Moved are the file and its WAL, which holds the newest commits.
"""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from agent.buffer.tables import Epoch, LaneRow, Tables, read_spans

DAMAGED: Final = ".damaged"
SALVAGED: Final = ".salvaged"
_FAR: Final = 1 << 40  # keys a lane will never count through; where it goes on when its old keys cannot be read


def set_aside(path: Path) -> Path:
    """Move a file and its WAL out of the way; say where to."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = _free(path, stamp)
    _move(path, target)
    return target


def set_done(path: Path) -> None:
    """Mark a damaged file as salvaged; what was in it stays in it."""
    _move(path, path.with_suffix(SALVAGED))


def waiting(folder: Path) -> list[Path]:
    """Damaged files that are still to be salvaged, oldest first."""
    return sorted(folder.glob(f"*{DAMAGED}"))


def connect(path: Path) -> sqlite3.Connection:
    """Open a damaged file for reading; its WAL is read too, and neither is written."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    db.execute("PRAGMA trusted_schema=OFF")
    return db


def read_tables_of(path: Path) -> Tables:
    """Read what can be read of the small tables, each for itself."""
    tables = Tables(lanes=[])
    with suppress(sqlite3.Error), closing(connect(path)) as db:
        with suppress(sqlite3.Error, IndexError, TypeError):
            tables.lanes = [LaneRow(int(row[1])) for row in db.execute("SELECT * FROM lane ORDER BY lane")]
        with suppress(sqlite3.Error, IndexError, TypeError):
            tables.account = {(row[0], row[1], row[2]): (row[3], row[4]) for row in db.execute("SELECT * FROM account")}
        with suppress(sqlite3.Error, IndexError, TypeError):
            tables.marks = {(row[0], row[1]): row[2] for row in db.execute("SELECT * FROM mark")}
        with suppress(sqlite3.Error, IndexError, TypeError):
            tables.epochs = {bytes(row[1]): Epoch(row[0], *row[2:]) for row in db.execute("SELECT * FROM epoch")}
            tables.spans = read_spans(db, tables.epochs)
    if len(tables.lanes) != 3:
        start = _FAR * (1 + len(list(path.parent.glob(f"*{SALVAGED}"))) + len(waiting(path.parent)))
        tables.lanes = [LaneRow(start), LaneRow(start), LaneRow(start)]
    return tables


def _free(path: Path, stamp: str) -> Path:
    """A name that is not taken; a second file within one second gets a number."""
    for number in range(1, 1000):
        name = f"{path.stem}-{stamp}{'' if number == 1 else f'-{number}'}"
        if not any(path.with_name(name + suffix).exists() for suffix in (DAMAGED, SALVAGED)):
            return path.with_name(name + DAMAGED)
    raise FileExistsError(path)


def _move(source: Path, target: Path) -> None:
    """Move a file and its WAL; the WAL first, so that no new store ever finds an old one's."""
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            Path(f"{source}{suffix}").rename(f"{target}{suffix}")
    Path(f"{source}-shm").unlink(missing_ok=True)  # made by reading, of no use without its WAL
