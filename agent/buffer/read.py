"""Reading: what lies on the disk first, then what memory holds; every digest from the disk is verified."""

from contextlib import suppress
from typing import Final

from agent.buffer.faults import DISK_ERRORS
from agent.buffer.keeper import Keeper
from agent.buffer.memory import take
from agent.buffer.rows import Held, NotRead
from agent.buffer.store import is_whole

MAX_WAITING: Final = 100_000  # ends of custody that wait for the disk; then no more of its backlog is handed out

NO_BORDER: Final = 1 << 62  # above every key


def read(keeper: Keeper, lane: int, *, after: int, limit_bytes: int) -> list[Held]:
    """Read batches of a lane with keys above `after`, oldest first, up to `limit_bytes` but at least one.

    What cannot be read now is passed over; the keeper notes it, and rewinds its readers when it can be read again.
    """
    stored, border = _read_store(keeper, lane, after=after, limit_bytes=limit_bytes)
    held = keeper.memory.read(lane, after=after, limit_bytes=limit_bytes, without=keeper.waiting.changes.done)
    found = {one.key: one for one in (*held, *stored) if one.key <= border}  # a commit in doubt may lie in both
    return take(dict(sorted(found.items())), after=after, limit_bytes=limit_bytes)


def _read_store(keeper: Keeper, lane: int, *, after: int, limit_bytes: int) -> tuple[list[Held], int]:
    """Read what the disk holds; give also the key up to which that is all it holds."""
    waiting = keeper.waiting
    while keeper.store is not None and len(waiting.changes.done) < MAX_WAITING:
        try:
            found, rotten = keeper.store.read(lane, after=after, limit_bytes=limit_bytes)
        except DISK_ERRORS as error:
            keeper.fail(error)
            break
        keeper.set_rotten_aside(rotten)
        good = [held for held in found if waiting.is_readable(held.key)]
        read = [*found, *rotten]
        if sum(held.size for held in read) < limit_bytes:
            return good, NO_BORDER
        after = max(held.key for held in read)
        if good:
            return good, after
    keeper.has_skipped = True
    return [], NO_BORDER


def fetch(keeper: Keeper, key: int) -> Held | NotRead:
    """Read one batch again, or tell why it cannot be."""
    held = keeper.memory.get(key)
    if held is not None:
        return held
    if keeper.store is None:
        return NotRead.FAULT
    try:
        held = keeper.store.fetch(key)
    except DISK_ERRORS as error:
        keeper.fail(error)
        return NotRead.FAULT
    if held is None or not keeper.waiting.is_readable(key):
        return NotRead.GONE
    if not is_whole(held):
        keeper.set_rotten_aside([held])
        return NotRead.ROT
    return held


def oldest_ns(keeper: Keeper) -> list[int | None]:
    """Measure the room, for status; give the time of each lane's oldest batch."""
    oldest = [next((held.committed_ns for held in keeper.memory.lane(lane)), None) for lane in range(3)]
    if keeper.store is not None:
        with suppress(*DISK_ERRORS):  # the next commit meets the same error and deals with it
            keeper.room.measure(keeper.store)
            oldest = [keeper.store.oldest_ns(lane) or oldest[lane] for lane in range(3)]
    return oldest
