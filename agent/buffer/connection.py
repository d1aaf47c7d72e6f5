"""The connection to the file: opened to be written, or only read where the disk takes no write."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from agent.buffer.faults import Nonsense, WrongFile
from agent.buffer.lineage import alone, belongs, has_wal, together
from agent.buffer.schema import (
    APPLICATION_ID,
    FORMAT,
    LOCKING,
    NEW_FILE_PRAGMAS,
    PRAGMAS,
    READ_ONLY_PRAGMAS,
    TABLES,
)

BUSY_SECONDS: Final = 0.5  # waited for another program's lock; it is a state, and tried again with every reopening

_SCHEMA: Final = {text for text in map(str.strip, TABLES.split(";")) if text.startswith("CREATE")}

Step = Callable[[str], None]


def no_step(_: str) -> None:
    """The hook of a store that no test looks into."""


def connect(path: Path, *, step: Step = no_step) -> sqlite3.Connection:
    """Open the file to be written, make it if need be.

    Raises:
        WrongFile: it is not ours to write.
        sqlite3.Error: any other state.
    """
    step("open")
    if path.exists() and not belongs(path):
        raise Nonsense(f"the WAL beside {path} is another file's")
    db = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    with closed_on_failure(db), schema_read():
        step("pragmas")
        db.execute(f"PRAGMA {LOCKING}").fetchall()
        is_new = not one(db, "SELECT count(*) FROM sqlite_schema")
        if not is_new:
            _check_ours(db, path)
        for pragma in (*(NEW_FILE_PRAGMAS if is_new else ()), *PRAGMAS):
            db.execute(f"PRAGMA {pragma}").fetchall()
        if is_new:
            step("format")
            db.executescript(
                f"BEGIN EXCLUSIVE;{TABLES}PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={FORMAT};COMMIT"
            )
        step("checkpoint")
        with suppress(sqlite3.OperationalError):  # a full disk: the backlog can still be read
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        step("tables")
    return db


def connect_read_only(path: Path, *, step: Step = no_step) -> sqlite3.Connection:
    """Open the file where nothing can be written: with its WAL if there is one, else as it lies.

    SQLite wants to lock, and to make a WAL, even to read; both ways here lock nothing, which is safe because the
    lock file is held.

    Raises:
        sqlite3.Error: it cannot be read either.
    """
    step("open")
    db = together(path) if has_wal(path) else alone(path)
    with closed_on_failure(db), schema_read():
        for pragma in READ_ONLY_PRAGMAS:
            db.execute(f"PRAGMA {pragma}").fetchall()
        _check_ours(db, path)
        step("tables")
    return db


def one(db: sqlite3.Connection, query: str, *values: Any) -> Any:
    """The one value of a query; None if there is none."""
    row = db.execute(query, values).fetchone()
    return None if row is None else row[0]


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    version, application = one(db, "PRAGMA user_version"), one(db, "PRAGMA application_id")
    if version > FORMAT and application == APPLICATION_ID:
        raise WrongFile(f"{path} has format {version}, this edgepost knows up to {FORMAT}")
    has_our_tables = {row[0] for row in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")} == _SCHEMA
    is_ours = (application, version) == (APPLICATION_ID, FORMAT)
    if not is_ours and not has_our_tables:
        raise WrongFile(f"{path} is the database of another program")
    if not is_ours or not has_our_tables:
        raise Nonsense(f"{path} is ours in one half of its head, and not in the other")


class Closable(Protocol):
    """A connection, or a store around one."""

    def close(self) -> None:
        """Give the file up."""


@contextmanager
def closed_on_failure(opened: Closable) -> Iterator[None]:
    """Close again what was opened, if what follows fails."""
    is_open = False
    try:
        yield
        is_open = True
    finally:
        if not is_open:
            opened.close()


@contextmanager
def schema_read() -> Iterator[None]:
    """Take an error of SQL for damage: ours are right, so the schema that they met is not.

    Raises:
        Nonsense: in place of SQLITE_ERROR, which would be a bug anywhere else.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
            raise Nonsense(str(error)) from error
        raise
    except UnicodeError as error:  # the words of SQLite's error are words of the file
        raise Nonsense(str(error)) from error
