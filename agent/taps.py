"""Live rows for whoever watches: `edgepost tail`. With nobody watching, a put pays one truth test.

A tap never waits for its reader: its queue is bounded in rows and in bytes, and what does not fit is counted as lost
for that reader. One row always fits into an empty queue, however large it is. What the reader did not ask for is left
out before the queue, so it takes no room and is never counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from collectors.sink import Stream

QUEUE_ROWS: Final = 2_000
QUEUE_BYTES: Final = 1 << 20
_VALUE_BYTES: Final = 8  # of a number, a flag, nothing

Rows = Sequence[tuple[Any, ...]]
Pick = Callable[[Stream, Rows], Rows]
"""The rows that a reader wants, of those of one put."""


class Tap:
    """One reader's queue. Take rows with `await tap.take()`; close it when done."""

    def __init__(self, stream: str | None, *, pick: Pick | None = None) -> None:
        self._stream = stream
        self._pick = pick
        self._rows: deque[tuple[Stream, tuple[Any, ...]]] = deque()
        self._bytes = 0
        self._lost = 0
        self._some = asyncio.Event()

    def offer(self, stream: Stream, rows: Rows) -> None:
        """Queue the rows that are wanted, as far as there is room."""
        if self._stream is not None and stream.name != self._stream:
            return
        if self._pick is not None:
            rows = self._pick(stream, rows)
            if not rows:
                return
        taken = 0
        for row in rows[: QUEUE_ROWS - len(self._rows)]:
            size = bytes_of(row)
            if self._rows and self._bytes + size > QUEUE_BYTES:
                break
            self._rows.append((stream, row))
            self._bytes += size
            taken += 1
        self._lost += len(rows) - taken
        self._some.set()

    async def take(self) -> tuple[list[tuple[Stream, tuple[Any, ...]]], int]:
        """Wait for rows; give all that are queued, and how many were lost since the last call."""
        await self._some.wait()
        rows, lost = list(self._rows), self._lost
        self._rows.clear()
        self._bytes = self._lost = 0
        self._some.clear()
        return rows, lost


def bytes_of(value: Any) -> int:
    """About how many bytes a value takes: its text, its bytes, and what maps and lists hold of them."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(bytes_of(key) + bytes_of(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return sum(map(bytes_of, value))
    return _VALUE_BYTES
