"""A sink that keeps what it gets: the one fake, for tests of collectors without an agent."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collectors.sink import Lane, Stream


class ListSink:
    """Implements `collectors.sink.Sink`: rows stay in `puts`, counts in `counted`, reports in `reported`."""

    def __init__(self, *, finish_seconds: float = 0.6) -> None:
        self.finish_seconds = finish_seconds
        self.puts: list[tuple[Stream, Lane, tuple[Any, ...]]] = []
        self.counted: Counter[str] = Counter()
        self.reported: dict[str, object] = {}
        self.marked: dict[str, bytes] = {}
        self.drains = 0
        self._room = asyncio.Event()
        self._room.set()
        self._changed = asyncio.Event()

    def put(
        self,
        stream: Stream,
        rows: Sequence[tuple[Any, ...]],
        *,
        lane: Lane = Lane.NORMAL,
        mark: tuple[str, bytes] | None = None,
    ) -> None:
        self.puts += [(stream, lane, row) for row in rows]
        if mark is not None:
            self.marked[mark[0]] = mark[1]
        self._changed.set()

    async def drain(self) -> None:
        self.drains += 1
        await self._room.wait()

    def marks(self) -> Mapping[str, bytes]:
        return self.marked

    def count(self, reason: str, amount: int = 1) -> None:
        self.counted[reason] += amount
        self._changed.set()

    def report(self, **facts: object) -> None:
        self.reported.update(facts)
        self._changed.set()

    def fill(self) -> None:
        """From now on there is no room."""
        self._room.clear()

    def empty(self) -> None:
        """There is room again."""
        self._room.set()

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return [row for _, _, row in self.puts]

    def column(self, name: str) -> list[Any]:
        """One column of all rows, in the order of the puts."""
        return [row[stream.row._fields.index(name)] for stream, _, row in self.puts]

    async def until(self, is_true: Callable[[], object], *, seconds: float = 5.0) -> None:
        """Wait until something is true of this sink; it is looked at whenever the sink changes."""
        async with asyncio.timeout(seconds):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()
