"""Reading: what lies on the disk first, then what memory holds; every digest from the disk is verified."""

from typing import Final

from agent.buffer.faults import DISK_ERRORS
from agent.buffer.keeper import Keeper
from agent.buffer.rows import Held, NotRead
from agent.buffer.store import is_whole

MAX_WAITING: Final = 100_000  # ends of custody that wait for the disk; then no more of its backlog is handed out


def read(keeper: Keeper, lane: int, *, after: int, limit_bytes: int) -> list[Held]:
    """Read batches of a lane with keys above `after`, oldest first, up to `limit_bytes` but at least one."""
    found = _read_store(keeper, lane, after=after, limit_bytes=limit_bytes)
    left = limit_bytes - sum(held.size for held in found)
    if left > 0:
        after = found[-1].key if found else after
        found += keeper.memory.read(lane, after=after, limit_bytes=left, without=keeper.waiting.changes.done)
    return found


def _read_store(keeper: Keeper, lane: int, *, after: int, limit_bytes: int) -> list[Held]:
    waiting = keeper.waiting
    good: list[Held] = []
    while keeper.store is not None and not good and len(waiting.changes.done) < MAX_WAITING:
        try:
            found, rotten = keeper.store.read(lane, after=after, limit_bytes=limit_bytes)
        except DISK_ERRORS as error:
            keeper.fail(error)
            break
        if not found and not rotten:
            break
        after = max(held.key for held in (*found, *rotten))
        good = [held for held in found if waiting.is_readable(held.key)]
        keeper.set_rotten_aside(rotten)
    return good


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
