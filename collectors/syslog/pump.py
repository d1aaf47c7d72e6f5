"""One reader for all sockets of a collector: who is ready is read in turn, when the sink has room, never faster.

    epoll ──ready──► queue ──one turn each──► source.read() ──► sink
                       ▲                          ├ more is there: to the end of the queue
                       └── nap of some ms ◄───────┤ that was all: let more gather
                           epoll  ◄───────────────┘ nothing came during a nap: wait until there is

Invariants: before each turn the sink was drained, so nothing that was read is dropped for want of room, and between
the read and the put nothing can be cancelled, because a turn is a plain call. A turn is at most one chunk, so a fast
sender cannot starve the others. A nap is never longer than what its socket can surely hold meanwhile.

Why naps: a process that wakes up on a core with cold caches spends 150 to 250 µs on the first lines. At 5,000 lines a
second a wake-up per 50 lines costs 10 µs a line, per 250 lines 5; naps of 100 ms cost a fifth less than of 50.
"""

import asyncio
import math
import time
from collections import deque
from enum import Enum, auto
from typing import Final, NoReturn, Protocol

from collectors.sink import Sink

NAP_SECONDS: Final = 0.100
ESTIMATE_SECONDS: Final = 0.010
WAKEFUL_SECONDS: Final = 1.0
LEAST_NAP_SECONDS: Final = 0.001  # epoll counts in milliseconds


class After(Enum):
    """What a source wants after a turn."""

    MORE = auto()  # read again soon: there was a chunk, there will be another one
    NAP = auto()  # let more gather first
    WAIT = auto()  # nothing is there: wait until the socket is readable
    CLOSED = auto()  # never again


class Source(Protocol):
    """A socket that is read in turns."""

    nap: "Nap"

    def fileno(self) -> int:
        """The socket's file descriptor, for as long as it is pumped."""

    def read(self) -> After:
        """Take at most one chunk of what is there now, and put its rows. Never blocks, never raises OSError.

        A source that has been told to stop never waits: it naps, or it is closed once nothing is there.
        """


class Nap:
    """Owns the estimate of how fast a source fills, and so for how long it may be left alone.

    The nap is short enough for `room` to take what comes meanwhile. A TCP sender that was stopped by its window shows
    less than its speed; a full chunk after a nap gives it away, and for a second naps are an eighth as long.
    """

    def __init__(self, *, room: float, longest_seconds: float = NAP_SECONDS, has_window: bool = False) -> None:
        """`room` is in the unit in which `after` is told what was read."""
        self.seconds = longest_seconds
        self._room = room
        self._longest = longest_seconds
        self._has_window = has_window
        self._gathered = 0.0
        self._since = time.monotonic()
        self._most = longest_seconds
        self._most_until = 0.0
        self._has_napped = True

    def after(self, read: float, *, is_full: bool) -> After:
        """Decide what comes after a turn that read so much, as much as a turn takes or less."""
        now = time.monotonic()
        self._estimate(read, now)
        if is_full:
            if self._has_napped and self._has_window:
                self._most, self._most_until = self.seconds / 8, now + WAKEFUL_SECONDS
                self.seconds = self._most
            self._has_napped = False
            return After.MORE
        if self.seconds < LEAST_NAP_SECONDS or (not read and self._has_napped):
            return After.WAIT
        self._has_napped = True
        return After.NAP

    def _estimate(self, read: float, now: float) -> None:
        self._gathered += read
        passed = now - self._since
        if passed < ESTIMATE_SECONDS:
            return
        most = self._most if now < self._most_until else self._longest
        self.seconds = min(most, self._room * passed / self._gathered) if self._gathered else most
        self._gathered = 0.0
        self._since = now


def rise_at(now: float, nap_seconds: float) -> float:
    """Give the end of a nap: the last common alarm before it would be over, so that all who nap rise together.

    Alarms ring at the multiples of the longest nap divided by a power of two. At 5,000 lines a second over eight
    connections that saves 8 % of the cost of a line: fewer wake-ups of a cold core.
    """
    alarm = NAP_SECONDS * 2.0 ** math.floor(math.log2(min(nap_seconds, NAP_SECONDS) / NAP_SECONDS))
    rise = math.floor((now + nap_seconds) / alarm) * alarm
    return rise if rise > now else now + nap_seconds


class Pump:
    """Owns the order in which sources are read."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._ready: deque[Source] = deque()
        self._naps: dict[Source, asyncio.TimerHandle] = {}
        self._waiting: set[Source] = set()
        self._wake = asyncio.Event()

    def add(self, source: Source, *, is_ready: bool = False) -> None:
        """Read a source from now on; one that is ready may hold what no selector sees."""
        if is_ready:
            self._set_ready(source)
        else:
            self._wait(source)

    def remove(self, source: Source) -> None:
        """Read a source no more; call it before the socket is closed."""
        if source in self._waiting:
            self._waiting.remove(source)
            asyncio.get_running_loop().remove_reader(source.fileno())
        nap = self._naps.pop(source, None)
        if nap is not None:
            nap.cancel()
        if source in self._ready:
            self._ready.remove(source)

    async def run(self) -> NoReturn:
        """Give turns until cancelled."""
        while True:
            if not self._ready:
                self._wake.clear()
                await self._wake.wait()
            await self._sink.drain()
            if self._ready:
                self._turn(self._ready.popleft())
            await asyncio.sleep(0)

    async def finish(self, *, until: float) -> None:
        """Give turns to sources that were told to stop: until all have closed, or the loop's clock says `until`."""
        loop = asyncio.get_running_loop()
        for source in (*self._waiting, *self._naps):
            self.remove(source)
            self._ready.append(source)
        while (self._ready or self._naps) and (left := until - loop.time()) > 0:
            if not self._ready:
                self._wake.clear()
                await self._wake.wait()
            try:
                await asyncio.wait_for(self._sink.drain(), left)
            except TimeoutError:
                return
            if self._ready:
                self._turn(self._ready.popleft())
            await asyncio.sleep(0)

    def _turn(self, source: Source) -> None:
        after = source.read()
        if after is After.MORE:
            self._ready.append(source)
        elif after is After.NAP:
            loop = asyncio.get_running_loop()
            self._naps[source] = loop.call_at(rise_at(loop.time(), source.nap.seconds), self._rise, source)
        elif after is After.WAIT:
            self._wait(source)

    def _wait(self, source: Source) -> None:
        self._waiting.add(source)
        asyncio.get_running_loop().add_reader(source.fileno(), self._on_readable, source)

    def _on_readable(self, source: Source) -> None:
        self._waiting.discard(source)
        asyncio.get_running_loop().remove_reader(source.fileno())
        self._set_ready(source)

    def _rise(self, source: Source) -> None:
        self._naps.pop(source, None)
        self._set_ready(source)

    def _set_ready(self, source: Source) -> None:
        self._ready.append(source)
        self._wake.set()
