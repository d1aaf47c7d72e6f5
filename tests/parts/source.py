"""A device that numbers its lines: sends over TCP at a rate, connects again when it must, and never says one twice.

A line reads `<PRI>... n=000000017 c=3 end`: the 17th of all, over the third connection. What one connection carried
is read in order, so what arrives of it must be a beginning of it, lane by lane: a hole in the middle is a loss of
something that was committed or a batch out of its place.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

INFO, ERR = 134, 131  # local0.info travels in the lane normal, local0.err in urgent
URGENT_EVERY = 50
TICK_SECONDS = 0.02
_LINE = re.compile(r"n=(\d{9}) c=(\d+) end")


def _line(number: int, connection: int) -> bytes:
    pri = ERR if number % URGENT_EVERY == 0 else INFO
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())
    return b"<%d>%s xa-017 meter[812]: n=%09d c=%d end\n" % (pri, stamp.encode(), number, connection)


@dataclass
class Source:
    """One numbered TCP source.

    Attributes:
        sent: how many lines were handed to the kernel, in all.
        of: the numbers that each connection carried: first, last.
    """

    port: int
    rate: float
    sent: int = 0
    of: dict[int, tuple[int, int]] = field(default_factory=dict)
    is_paused: bool = False

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    await self._talk(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(TICK_SECONDS)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, first = len(self.of) + 1, self.sent + 1
        writer.transport.set_write_buffer_limits(0)
        due = 0.0
        while not reader.at_eof():
            if not self.is_paused:
                due += self.rate * TICK_SECONDS
                numbers = range(self.sent + 1, self.sent + 1 + int(due))
                due -= int(due)
                self.sent = numbers.stop - 1
                if self.sent >= first:
                    self.of[connection] = (first, self.sent)
                writer.write(b"".join(_line(number, connection) for number in numbers))
                await writer.drain()
            await asyncio.sleep(TICK_SECONDS)


@asynccontextmanager
async def sending(port: int, *, rate: float = 1000.0) -> AsyncIterator[Source]:
    """Run a source; on leaving it sends no more, and what it wrote has left this process."""
    source = Source(port, rate)
    task = asyncio.create_task(source.run(), name="source")
    try:
        yield source
        source.is_paused = True
        await asyncio.sleep(3 * TICK_SECONDS)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Verdict:
    """What arrived of what a source sent."""

    sent: int
    delivered: int
    twice: list[int]
    strange: list[str]
    out_of_place: list[int]
    lost_by: dict[int, int]

    @property
    def lost(self) -> int:
        return self.sent - self.delivered


def judge(source: Source, rows: Iterable[dict[str, Any]]) -> Verdict:
    """Compare rows of the sink with what was sent.

    Returns:
        out_of_place: arrived although an earlier one of the same connection and lane did not; lost_by: the lines of
        each connection that did not arrive, by its number.
    """
    seen: dict[int, set[int]] = defaultdict(set)
    twice, strange = [], []
    for row in rows:
        found = _LINE.fullmatch(row["message"] or "")
        if found is None:
            strange.append(str(row["message"])[:200])
            continue
        number, connection = int(found[1]), int(found[2])
        if number in seen[connection]:
            twice.append(number)
        seen[connection].add(number)
    out_of_place, lost_by = [], {}
    for connection, (first, last) in source.of.items():
        missing = set(range(first, last + 1)) - seen[connection]
        for is_urgent in (False, True):
            lane = {number for number in missing if (number % URGENT_EVERY == 0) is is_urgent}
            out_of_place += [
                n for n in seen[connection] if lane and (n % URGENT_EVERY == 0) is is_urgent and n > min(lane)
            ]
        if missing:
            lost_by[connection] = len(missing)
    delivered = sum(map(len, seen.values()))
    return Verdict(source.sent, delivered, twice, strange, sorted(out_of_place), lost_by)
