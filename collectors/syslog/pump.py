"""One reader for all sockets of a collector: who is ready is read in turn, when the sink has room, never faster.

    epoll ──ready──► queue ──one turn each──► source.read() ──► sink
                       ▲                          ├ more is there: to the end of the queue
                       └── nap of a few ms ◄──────┤ that was little: let more gather
                           epoll  ◄───────────────┘ nothing was there: wait until there is

Invariants: before each turn the sink was drained, so nothing that was read is dropped for want of room, and between
the read and the put nothing can be cancelled, because a turn is a plain call. A turn is at most one chunk, so a fast
sender cannot starve the others. The nap turns 5,000 wake-ups a second into 100; a sender that has more waiting than
a nap could gather never naps.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from typing import Final, NoReturn, Protocol

from collectors.sink import Sink

NAP_SECONDS: Final = 0.010
FINISH_SECONDS: Final = 0.5  # at a stop, for what the kernel still holds


class After(Enum):
    """What a source wants after a turn."""

    MORE = auto()  # read again soon: there was a chunk, there will be another one
    NAP = auto()  # let more gather first
    WAIT = auto()  # nothing is there: wait until the socket is readable
    CLOSED = auto()  # never again


class Source(Protocol):
    """A socket that is read in turns."""

    nap_seconds: float

    def fileno(self) -> int:
        """The socket's file descriptor, for as long as it is pumped."""

    def read(self) -> After:
        """Take at most one chunk of what is there now, and put its rows. Never blocks, never raises OSError."""


class Pump:
    """Owns the order in which sources are read."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._ready: deque[Source] = deque()
        self._naps: dict[Source, asyncio.TimerHandle] = {}
        self._waiting: set[Source] = set()
        self._wake = asyncio.Event()

    def add(self, source: Source) -> None:
        """Read a source from now on."""
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

    def _turn(self, source: Source) -> None:
        after = source.read()
        if after is After.MORE:
            self._ready.append(source)
        elif after is After.NAP:
            loop = asyncio.get_running_loop()
            self._naps[source] = loop.call_later(source.nap_seconds, self._rise, source)
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


def finish(source: Source, *, until: float) -> None:
    """Read what the kernel already holds, once, until nothing is left or the loop's clock says `until`."""
    loop = asyncio.get_running_loop()
    while source.read() not in {After.WAIT, After.CLOSED} and loop.time() < until:
        pass
