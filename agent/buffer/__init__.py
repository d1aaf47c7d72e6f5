"""The durable buffer: batches on disk from their commit until the next hop has confirmed them.

SQLite keeps them, because nothing else in the standard library is as well tested against power cuts. What is stored
are batches, not rows: encoded and compressed once, copied ever after. One writer thread owns the only connection,
reads included, because SQLite below 3.51.3 can corrupt a WAL file that two connections write.

    loop:    seal ─────► commit ──────────────► future done      read ──► tail in memory, or the store
               │            │                        ▲                         ▲
    thread:  compress    name, digest, one transaction, fsync             one range of one B-tree

A batch is named inside the transaction that commits it: `(epoch, lane, seq)`. The epoch is drawn at every opening,
so a restored or cloned store cannot reuse a name. The account changes in the same transaction as the batches:
received = confirmed + held + dropped.

When the disk fails, that is a state and not an end: batches are named under an epoch of their own, held in bounded
memory, forwarded under the same custody, and written once the store opens again.

| layer  | file        | responsibility                                                        |
|--------|-------------|-----------------------------------------------------------------------|
| loop   | `buffer.py` | the facade: futures, the newest batches in memory, marks, facts       |
| thread | `writer.py` | one request after the other: compress, group, fail over to memory     |
| thread | `memory.py` | batches while there is no disk, bounded in bytes                      |
| disk   | `store.py`  | the file: schema, transactions, eviction                              |
| disk   | `faults.py` | which errors of the disk are states, and what mends each              |
| data   | `rows.py`   | what passes between them                                              |

The file is specified in `docs/buffer-format.md`.
"""

from agent.buffer.buffer import Buffer
from agent.buffer.faults import StateDirFailed, StoreHeld
from agent.buffer.rows import BufferSettings, Held, Origin, Sealed

__all__ = ["Buffer", "BufferSettings", "Held", "Origin", "Sealed", "StateDirFailed", "StoreHeld"]
