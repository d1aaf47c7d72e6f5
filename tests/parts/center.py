"""Batches as a receiver gets them, an opened `Commit`, and what lies in its folder."""

import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from parts.batches import COLUMNS, START_NS, make_head, make_payload

from agent.events import AGENT, row
from center.commit import Commit
from center.ledger import make_ledger
from center.refused import read_refused
from wire.batch import Batch, compress, decode_payload
from wire.names import LANES
from wire.receive import Heard
from wire.state import Span, State

ME, SITE = "gw-01", "hue"


def batch(seq: int = 1, texts: Sequence[str] = ("a line",), *, columns: Any = COLUMNS, **changes: Any) -> Batch:
    """One batch of the stream `log`, with a row for each text."""
    return batch_of([(START_NS, START_NS + 1, text) for text in texts], seq=seq, columns=columns, **changes)


def batch_of(rows: Sequence[Any], **changes: Any) -> Batch:
    """One batch of any rows."""
    head = make_head(rows=len(rows), **changes)
    return decode_payload(make_payload(head, body=compress(msgspec.msgpack.encode(rows))))


def said(seq: int, event: str, detail: dict[str, Any], **changes: Any) -> Batch:
    """One batch of the stream `agent` with one row."""
    rows = [row(event, text=event, detail=detail)]
    return batch_of(rows, seq=seq, stream="agent", lane=0, columns=AGENT.columns, **changes)


def eviction(epoch: bytes, first: int, last: int, *, lane: int = 1) -> dict[str, Any]:
    """The detail of an `evicted` row."""
    return {
        "epoch": epoch,
        "lane": LANES[lane],
        "first_seq": first,
        "last_seq": last,
        "rows": 10 * (last - first + 1),
        "first_ns": START_NS,
        "last_ns": START_NS,
        "reason": "limit",
    }


def state(epoch: bytes, *spans: tuple[int, int, int], online: bool = True, connection: int = 1, **more: Any) -> State:
    """The state of an agent that holds (lane, first_held, last) of one epoch."""
    held = tuple(Span(epoch, *span) for span in spans)
    return State(online=online, epoch=epoch, connection=connection, spans=held, **more)


def heard(one: State, *, sender: str = ME) -> Heard:
    return Heard(SITE, sender, one)


@asynccontextmanager
async def committing(folder: Path, kind: str = "ndjson") -> AsyncIterator[Commit]:
    """An open `Commit`."""
    commit = Commit(folder, kind)
    await commit.open()
    try:
        yield commit
    finally:
        await commit.close()


async def outcomes(commit: Commit, *received: Any) -> list[str]:
    """Commit a group; give the bare words."""
    return [one.outcome for one in await commit.commit(received)]


async def ledger_of(commit: Commit) -> dict[str, Any]:
    return await commit.with_memory(make_ledger)


async def hear(commit: Commit, *states: State, sender: str = ME) -> None:
    """Let the receiver hear states of one sender, one after the other."""
    commit.hear([heard(one, sender=sender) for one in states])
    await commit.commit([])


def lines(folder: Path, stream: str = "log", *, pattern: str = "*.ndjson*") -> list[dict[str, Any]]:
    """The rows in the files of a stream, finished ones and the open one."""
    files = sorted((folder / stream).glob(pattern))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def texts(folder: Path, stream: str = "log") -> list[str]:
    return [line["text"] for line in lines(folder, stream)]


def kept(folder: Path) -> list[tuple[str, bytes]]:
    """Reason and payload of everything in `refused/`."""
    files = sorted((folder / "refused").glob("*.refused*"))
    return [(reason, payload) for file in files for _, reason, _, payload in read_refused(file)]


@contextmanager
def failing_sink(folder: Path) -> Iterator[None]:
    """A file where the sink needs a folder: whoever writes gets an OSError, until it is taken away."""
    folder.mkdir(exist_ok=True)
    (folder / "log").write_text("")
    yield
    (folder / "log").unlink()


def new_epoch() -> bytes:
    return os.urandom(16)
