"""Parked batches: kept, shown, and given out again one at a time, so that what was wrong may be mended.

Rotten ones are parked as well, and declared as dropped; they are counted here and never given out.
"""

from collections import Counter

from agent.buffer.faults import DISK_ERRORS
from agent.buffer.keeper import Keeper
from agent.buffer.rows import Held
from agent.buffer.store import is_whole


def count(keeper: Keeper) -> dict[str, int] | None:
    """How many batches are parked, by reason; None while the disk fails: then nobody knows."""
    found = Counter(keeper.memory.parked_reasons())
    if keeper.store is None:
        return None
    try:
        found.update(keeper.store.count_parked())
    except DISK_ERRORS as error:
        keeper.fail(error)
        return None
    return dict(found)


def next_parked(keeper: Keeper, *, after: int, limit_bytes: int | None) -> Held | None:
    """The next parked batch above a key that is no larger than the limit and whole; None if there is none now."""
    while keeper.store is not None:
        try:
            held = keeper.store.next_parked(after=after, limit_bytes=limit_bytes)
        except DISK_ERRORS as error:
            keeper.fail(error)
            return None
        if held is None:
            return None
        if is_whole(held) and held.key not in keeper.waiting.changes.done:
            return held
        after = held.key
    return None
