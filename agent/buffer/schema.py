"""The file's format: application id, version, pragmas and tables. Specified in `docs/buffer-format.md`."""

from typing import Final

FORMAT: Final = 1  # PRAGMA user_version
APPLICATION_ID: Final = 0x65646770  # "edgp", PRAGMA application_id
PAGE_BYTES: Final = 4096

LOCKING: Final = "locking_mode=EXCLUSIVE"  # before the first look: no shared memory file, no second connection
NEW_FILE_PRAGMAS: Final = (
    f"page_size={PAGE_BYTES}",
    "auto_vacuum=INCREMENTAL",  # before the first table: evicted pages can be given back; it writes, each time
)
PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit ends after fsync of the WAL
    "secure_delete=OFF",  # Debian's default ON doubles the writes of a delete
    "wal_autocheckpoint=0",  # ours, above WAL_BYTES, outside the commit
    "journal_size_limit=8388608",
    "cache_size=-2048",  # 2 MiB
    "mmap_size=0",  # an I/O error would be a SIGBUS
    "trusted_schema=OFF",
)

READ_ONLY_PRAGMAS: Final = (LOCKING, "cache_size=-2048", "mmap_size=0", "trusted_schema=OFF")

TABLES: Final = """
CREATE TABLE epoch(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, opened_ns INTEGER NOT NULL, boot BLOB NOT NULL,
                   origin TEXT NOT NULL);
CREATE TABLE span(epoch_n INTEGER NOT NULL, lane INTEGER NOT NULL, base INTEGER NOT NULL, first_held INTEGER NOT NULL,
                  last INTEGER NOT NULL, PRIMARY KEY(epoch_n, lane)) WITHOUT ROWID;
CREATE TABLE lane(lane INTEGER PRIMARY KEY, next INTEGER NOT NULL, batches INTEGER NOT NULL, bytes INTEGER NOT NULL,
                  parked INTEGER NOT NULL);
CREATE TABLE account(origin TEXT NOT NULL, stream TEXT NOT NULL, what TEXT NOT NULL, rows INTEGER NOT NULL,
                     bytes INTEGER NOT NULL, PRIMARY KEY(origin, stream, what)) WITHOUT ROWID;
CREATE TABLE mark(collector TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(collector, key))
                  WITHOUT ROWID;
CREATE TABLE batch(id INTEGER PRIMARY KEY, epoch_n INTEGER NOT NULL, seq INTEGER NOT NULL, parked TEXT,
                   stream TEXT NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL, committed_ns INTEGER NOT NULL,
                   digest BLOB NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL);
CREATE INDEX parked ON batch(parked) WHERE parked IS NOT NULL;
INSERT INTO lane VALUES (0, 1, 0, 0, 0), (1, 1, 0, 0, 0), (2, 1, 0, 0, 0);
"""
