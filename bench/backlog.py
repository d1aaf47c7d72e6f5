"""A store with many small batches waiting in it, and an agent that starts on it.

The store is made by the agent's own buffer, one row a batch, so nothing here knows how it lies on the disk.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
from contest import Setup
from lines import lines
from measure import pss_bytes
from places import wait_for
from rig import AGENT, SITE, Edgepost

from agent.buffer import Buffer, BufferSettings, Origin, Sealed
from collectors.sink import Lane
from collectors.syslog.rows import SYSLOG

LIMIT_BYTES = 4 << 30
_GROUP = 2_000  # batches a commit
_LINES = 10_000


def _row(line: bytes, now: int) -> tuple[Any, ...]:
    nothing = (None,) * 5
    return (now, now, "10.20.0.7", 40_000, "tcp", None, 16, 6, *nothing, line.decode(), "none", None, None, None)


async def _fill(state_dir: Path, batches: int) -> None:
    origin = Origin(AGENT, SITE, bytes(16))
    buffer = await Buffer.open(
        state_dir, origin=origin, settings=BufferSettings(limit_bytes=LIMIT_BYTES, keep_free_percent=1), in_flight=()
    )
    now = time.time_ns()
    rows = [msgspec.msgpack.encode([_row(line, now)]) for line in lines(_LINES)]
    for first in range(0, batches, _GROUP):
        for n in range(first, first + _GROUP):
            # an array of one row is a fixarray; a batch's body always begins with an array 32
            body = b"\xdd\x00\x00\x00\x01" + rows[n % _LINES][1:]
            columns = SYSLOG.columns
            one = Sealed("syslog", columns, lane=int(Lane.NORMAL), rows=1, body=body, first_ns=now, last_ns=now)
            buffer.seal(one)
        await buffer.commit({})
    await buffer.close()


def make(state_dir: Path, batches: int) -> float:
    """Make a store with so many batches of one row; give the seconds it took."""
    started = time.perf_counter()
    asyncio.run(_fill(state_dir, batches))
    return time.perf_counter() - started


def start_up(setup: Setup, *, batches: int, drain_seconds: float) -> dict[str, Any]:
    """Start on an empty store and on a full one, with no broker; then let the backlog leave for a while.

    Returns:
        `start s` and `start with backlog s` until both listeners are open, `backlog pss MB` while it waits and
        `leaving pss MB` at most while it leaves, `leaving batches/s`.
    """
    one = Edgepost(setup, limit_bytes=LIMIT_BYTES, is_started=False)
    try:
        empty = [_start_once(one) for _ in range(3)]
        made = make(one.store, batches)
        full = [_start_once(one) for _ in range(2)]
        one.start_agent()
        time.sleep(3)
        waiting = pss_bytes(one.pid)
        size = one.status()["buffer"]["used_bytes"]
        found = {
            "start s": min(empty),
            "backlog batches": batches,
            "backlog MB on disk": size / 1e6,
            "made in s": made,
            "start with backlog s": min(full),
            "backlog pss MB": waiting / 1e6,
        }
        return found | _leave(one, drain_seconds)
    finally:
        one.stop()


def _start_once(one: Edgepost) -> float:
    seconds = one.start_agent()
    assert one.agent is not None
    one.agent.end()
    one.agent = None
    return seconds


def _leave(one: Edgepost, seconds: float) -> dict[str, Any]:
    one.far_end.start()
    wait_for(lambda: one.far_end.delivered() > 0, seconds=60, what="the backlog begins to leave")
    first, started, most = one.far_end.delivered(), time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        most = max(most, pss_bytes(one.pid))
        time.sleep(0.2)
    return {
        "leaving pss MB": most / 1e6,
        "leaving batches/s": (one.far_end.delivered() - first) / (time.perf_counter() - started),
    }
