"""Live rows for whoever watches: `edgepost tail`. With nobody watching, a put pays one truth test.

A tap never slows the agent: its queue is bounded in rows and bytes, and what does not fit is counted as lost for that
reader.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from collectors.sink import Stream

QUEUE_ROWS: Final = 2_000
QUEUE_BYTES: Final = 1 << 20  # as encoded; 2,000 messages of 64 KiB took 200 MiB for readers that did not read


class Tap:
    """One reader's queue. Take rows with `await tap.take()`; close it when done."""

    def __init__(self, stream: str | None) -> None:
        self._stream = stream
        self._rows: deque[tuple[Stream, tuple[Any, ...]]] = deque()
        self._bytes = 0
        self._lost = 0
        self._some = asyncio.Event()

    def offer(self, stream: Stream, rows: Sequence[tuple[Any, ...]], *, size: int) -> None:
        """Queue rows of a wanted stream, as far as there is room; `size` is that of all of them, encoded."""
        if self._stream is not None and stream.name != self._stream:
            return
        by_bytes = (QUEUE_BYTES - self._bytes) * len(rows) // max(size, 1) + 1  # the first one over it is taken
        room = max(0, min(QUEUE_ROWS - len(self._rows), by_bytes if self._bytes < QUEUE_BYTES else 0))
        kept = rows[:room]
        self._rows.extend((stream, row) for row in kept)
        self._bytes += size * len(kept) // max(len(rows), 1)
        self._lost += len(rows) - len(kept)
        self._some.set()

    async def take(self) -> tuple[list[tuple[Stream, tuple[Any, ...]]], int]:
        """Wait for rows; give all that are queued, and how many were lost since the last call."""
        await self._some.wait()
        rows, lost = list(self._rows), self._lost
        self._rows.clear()
        self._bytes = 0
        self._lost = 0
        self._some.clear()
        return rows, lost
