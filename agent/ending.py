"""A stop in bounded time: every wait of it ends, and what was still waited for is named in the journal."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection
from typing import Final

from agent.buffer import Buffer
from agent.forward import Forward
from agent.intake import Intake

AGAIN_SECONDS: Final = 1.0  # for what did not end at its first cancellation
DISK_SECONDS: Final = 10.0  # for a commit, or for the close of the buffer, on a disk that may hang
log = logging.getLogger("edgepost.ending")


async def end(tasks: Collection[asyncio.Task[None]], *, seconds: float = AGAIN_SECONDS) -> None:
    """Cancel tasks and wait until they have ended; what has not in time is named and cancelled once more."""
    pending = set(tasks)
    for patience in (seconds, AGAIN_SECONDS):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=patience)
        if pending:
            names = ", ".join(sorted(task.get_name() for task in pending))
            log.error("not ended %.1f s after their cancellation: %s", patience, names)


async def within(seconds: float, what: str, wait: Awaitable[None]) -> bool:
    """Wait for so long at most; else say what was waited for, and go on. Tell whether it came to its end."""
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        log.error("%s: not done after %.1f s, the stop goes on without it", what, seconds)  # noqa: TRY400 - a trace says no more
        return False
    return True


async def commit(intake: Intake, *, seconds: float = DISK_SECONDS) -> bool:
    """Commit what was put."""
    return await within(seconds, f"the commit of the last rows ({intake.pending_bytes:,} bytes)", intake.close())


async def receipts(forward: Forward, *, until: float) -> bool:
    """Let what is held be confirmed until that time, monotonic; what is not stays on the disk."""
    left = max(0.0, until - time.monotonic())
    return await within(left + AGAIN_SECONDS, "the last receipts", forward.finish(left))


async def close(intake: Intake, buffer: Buffer, *, seconds: float = DISK_SECONDS) -> bool:
    """Commit what was put to the very last, and close the buffer. Tell whether all of it is on the disk."""
    is_committed = await commit(intake, seconds=seconds)
    return await within(seconds, "the close of the buffer", buffer.close()) and is_committed
