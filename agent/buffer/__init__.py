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

| layer  | file          | responsibility                                                          |
|--------|---------------|-------------------------------------------------------------------------|
| loop   | `buffer.py`   | the facade: futures, discards gathered for the next commit, facts       |
| loop   | `newest.py`   | the newest 4 MiB in memory; `rates.py`: bytes per second of each lane    |
| thread | `writer.py`   | the queue of requests, and how an error that is no state ends the process |
| thread | `keeper.py`   | opening, commits, fail-over to memory and back, eviction                |
| thread | `read.py`     | reads, digests verified; `parked.py`: what is kept and not sent          |
| thread | `pack.py`     | compress, halve by rows; `naming.py`: epoch, seq, key, head, digest      |
| thread | `waiting.py`  | what waits for a transaction that holds; `memory.py`: batches without a disk |
| thread | `room.py`     | limits, shares, who is evicted; `reserve.py`: room of our own            |
| thread | `losses.py`   | evictions and losses, declared as rows of the stream `agent`            |
| disk   | `store.py`    | the file: transactions and reads; `schema.py`: its format; `tables.py`: its small tables |
| disk   | `faults.py`   | which errors of the disk are states, and what mends each                |
| disk   | `damage.py`   | damaged files, set aside; `salvage.py`: batches out of them; `lock.py`: one agent a store |
| data   | `rows.py`     | what passes between them; `view.py`: the picture that the loop looks at  |

The file is specified in `docs/buffer-format.md`.
"""

from agent.buffer.buffer import Buffer
from agent.buffer.faults import StateDirFailed, StoreHeld
from agent.buffer.rows import BufferSettings, Held, NotRead, Origin, Sealed

__all__ = ["Buffer", "BufferSettings", "Held", "NotRead", "Origin", "Sealed", "StateDirFailed", "StoreHeld"]
