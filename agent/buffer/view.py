"""What the loop may know of the thread's work without asking: one frozen picture, replaced after each request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.buffer.faults import Fault
from agent.buffer.keeper import Keeper
from agent.buffer.tables import OWN, LaneRow
from wire.names import LANES
from wire.state import Span


def _unknown(_: float) -> list[float | None]:
    return [None, None, None]


@dataclass(frozen=True, slots=True)
class View:
    """The buffer as of the last request."""

    epoch: bytes
    next_keys: tuple[int, ...] = (1, 1, 1)
    fault: Fault | None = None
    is_tight: bool = False
    keep_free: int = 0
    limit_bytes: int = 0
    used_bytes: int = 0
    wal_bytes: int = 0
    disk_free_bytes: int = 0
    lanes: tuple[LaneRow, ...] = ()
    memory_batches: int = 0
    memory_bytes: int = 0
    account: Mapping[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    marks: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    hours_left: Callable[[float], list[float | None]] = field(default=_unknown)


def look(keeper: Keeper, origin: str) -> View:
    """Take the picture: a few dozen small values."""
    room, store = keeper.room, keeper.store
    tables = store.tables if store is not None else keeper.last_tables
    return View(
        epoch=keeper.names.epoch,
        next_keys=tuple(keeper.names.next),
        fault=keeper.fault,
        is_tight=room.is_tight,
        keep_free=room.keep_free,
        limit_bytes=room.limit_bytes,
        used_bytes=room.used_bytes,
        wal_bytes=room.wal_bytes,
        disk_free_bytes=room.disk.free,
        lanes=tuple(LaneRow(row.next, row.batches, row.bytes, row.parked) for row in tables.lanes),
        memory_batches=len(keeper.memory),
        memory_bytes=keeper.memory.bytes,
        account=_account(keeper, origin),
        marks={**tables.marks, **keeper.waiting.changes.marks},
        hours_left=partial(room.hours_left, [row.bytes for row in tables.lanes]),
    )


def _account(keeper: Keeper, origin: str) -> dict[tuple[str, str, str], tuple[int, int]]:
    """The account with what has not reached the disk yet: counts that wait, and what memory holds."""
    tables = keeper.store.tables if keeper.store is not None else keeper.last_tables
    account = dict(tables.account)
    waiting = [(stream, what, rows, 0) for (stream, what), rows in keeper.waiting.changes.counts.items()]
    held = [(one.stream, "received", one.rows, one.size) for one in keeper.memory.all()]
    for stream, what, rows, size in (*waiting, *held):
        old_rows, old_size = account.get((origin, stream, what), (0, 0))
        account[origin, stream, what] = (old_rows + rows, old_size + size)
    return account


def problem_of(view: View) -> tuple[str, str | None, str | None]:
    """The state in a word, what is wrong, what to do."""
    if view.fault is not None:
        return view.fault.state, f"{view.fault.problem}: batches are held in memory only", view.fault.remedy
    if view.is_tight and view.keep_free:
        problem = "the file system is nearly full: the buffer does not grow, old batches make room for new ones"
        return "ok", problem, "free space on the file system of the state directory: `df -h`"
    return "ok", None, None


def spans_of(keeper: Keeper, agent: str) -> tuple[Span, ...]:
    """What each epoch of an agent holds in each lane, oldest epochs first: on the disk, in memory, or in both."""
    spans = {}
    if keeper.store is not None:
        epochs = keeper.store.tables.epochs  # those from before a change of name are not this agent's to tell of
        spans = {
            key: Span(*key, row.first_held, row.last)
            for key, row in keeper.store.spans().items()
            if epochs[key[0]].origin == agent
        }
    for held in keeper.memory.all():
        epoch, lane, seq = held.name
        old = spans.get((epoch, lane), Span(epoch, lane, seq, seq))
        first = old.first_held if old.first_held <= old.last else seq
        spans[epoch, lane] = Span(epoch, lane, first, max(old.last, seq))
    return tuple(spans.values())


def lane_facts(view: View, lane: int, **more: Any) -> dict[str, Any]:
    """What status shows of one lane."""
    row = view.lanes[lane] if view.lanes else LaneRow()
    return {"lane": LANES[lane], "batches": row.batches, "bytes": row.bytes, "parked": row.parked, **more}


def marks_of(view: View, collector: str) -> dict[str, bytes]:
    """The marks of one collector; the buffer's own are nobody's."""
    return {key: value for (name, key), value in view.marks.items() if name == collector != OWN}
