"""Sealed batches, keepers and buffers for tests, and what the account of a store must say."""

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import msgspec

from agent.buffer import Buffer, BufferSettings, Origin, Sealed, read
from agent.buffer.keeper import Keeper
from agent.buffer.rows import ROT, Changes, Held
from agent.buffer.salvage import Salvage
from wire.batch import Batch, Hop, decode_head, decode_rows

ORIGIN = Origin("gw-1", "lab", b"B" * 16)
COLUMNS = (("time", "time"), ("received", "time"), ("text", "str"))
NOBODY = Hop("gw-1", 2, (), 1, 0)


def sealed(first: int = 0, rows: int = 2, *, lane: int = 1, stream: str = "log", text: str = "") -> Sealed:
    """Rows numbered from `first`, so that each can be told from every other."""
    body = msgspec.msgpack.encode([(None, number, f"{number} {text}") for number in range(first, first + rows)])
    return Sealed(stream, COLUMNS, lane, rows, body, first, first + rows - 1)


def numbers(held: list[Held] | Held) -> list[int]:
    """The numbers of the rows in batches, decoded as a receiver does, digests and heads checked."""
    found: list[int] = []
    for one in [held] if isinstance(held, Held) else held:
        head = decode_head(one.head)
        assert head.name == one.name
        assert (head.rows, head.stream) == (one.rows, one.stream)
        if one.stream == "log":
            rows = decode_rows(Batch(NOBODY, one.digest, one.head, one.body, head))
            found += [row[1] for row in rows]
    return found


def details(held: list[Held], event: str) -> list[dict]:
    """What the agent's own rows among batches declare under one event."""
    rows = []
    for one in held:
        if one.stream == "agent":
            head = decode_head(one.head)
            rows += [row for row in decode_rows(Batch(NOBODY, one.digest, one.head, one.body, head)) if row[2] == event]
    return [row[5] for row in rows]


def sized(**settings) -> BufferSettings:
    """Settings that do not depend on how full this machine's disk happens to be, unless told."""
    return BufferSettings(**{"keep_free_percent": 0, **settings})


def keeper(folder: Path, *, step=lambda _: None, in_flight=(), **settings) -> Keeper:
    """An open keeper; that the machine's own disk is nearly full is no matter to it."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Keeper(folder, origin=ORIGIN, settings=sized(**settings), in_flight=in_flight, step=step)
    one.open()
    return one


async def opened(folder: Path, *, step=lambda _: None, in_flight=(), **settings) -> Buffer:
    """An open buffer."""
    return await Buffer.open(folder, origin=ORIGIN, settings=sized(**settings), in_flight=in_flight, step=step)


def put(one: Keeper, first: int = 0, rows: int = 2, *, lane: int = 1, text: str = "", **changes) -> list[Held]:
    """Seal one batch and commit it."""
    one.seal(sealed(first, rows, lane=lane, text=text))
    return one.commit(Changes(**changes))


def sums(account) -> dict[str, Counter]:
    """The account per stream: received, confirmed, dropped."""
    streams: dict[str, Counter] = {}
    for (_, stream, what), (rows, _) in account.items():
        streams.setdefault(stream, Counter())[what.split(":")[0]] += rows
    return streams


def assert_account_closes(store) -> None:
    """received = confirmed + held + dropped, and every count that is kept is what a scan counts."""
    db = store._db
    held = dict(
        db.execute("SELECT stream, sum(rows) FROM batch WHERE parked IS NOT ? GROUP BY stream", (ROT,)).fetchall()
    )
    account = {
        (origin, stream, what): (rows, size) for origin, stream, what, rows, size in db.execute("SELECT * FROM account")
    }
    assert account == store.tables.account
    for stream, counts in sums(account).items():
        assert counts["received"] == counts["confirmed"] + counts["dropped"] + held.get(stream, 0), stream
    for lane, row in enumerate(store.tables.lanes):
        counted = db.execute(
            "SELECT count(*), coalesce(sum(size), 0), count(parked) FROM batch WHERE id >> 48 = ?", (lane,)
        ).fetchone()
        assert counted == (row.batches, row.bytes, row.parked)
        assert db.execute("SELECT * FROM lane WHERE lane = ?", (lane,)).fetchone()[1:] == (
            row.next,
            row.batches,
            row.bytes,
            row.parked,
        )
    assert_spans_hold(db)


def assert_spans_hold(db: sqlite3.Connection) -> None:
    """Every batch lies in its span, under the key that its seq gives it."""
    strays = db.execute(
        "SELECT count(*) FROM batch b LEFT JOIN span s ON s.epoch_n = b.epoch_n AND s.lane = b.id >> 48"
        " WHERE s.last IS NULL OR b.seq > s.last OR b.seq < s.first_held OR b.id != s.base + b.seq"
    ).fetchone()
    assert strays == (0,)


def readable(one: Keeper, lane: int = 1, *, limit_bytes: int = 1 << 20) -> list[Held]:
    """Everything a reader finds in a lane who begins at its beginning."""
    found: list[Held] = []
    after = 0
    while batches := read.read(one, lane, after=after, limit_bytes=limit_bytes):
        found += batches
        after = batches[-1].key
    return found


def salvage(one: Keeper) -> None:
    """Run the salvage to its end; the test is the writer's thread."""
    requests: list = []
    arrived = threading.Condition()

    def send(work, post):
        with arrived:
            requests.append((work, post))
            arrived.notify()

    worker = Salvage(one, send)
    worker.start()
    thread = worker._thread
    while thread.is_alive():
        with arrived:
            arrived.wait_for(lambda: requests or not thread.is_alive(), timeout=0.05)
            waiting, requests[:] = list(requests), []
        for work, post in waiting:
            post(work())
    for work, _ in requests:
        work()
