"""A connection of a syslog stream (RFC 6587, RFC 5425): the way of a chunk from its stream to the lanes.

    stream ──recv 64 KiB──► framer ──messages──► rate limit ──► fast path ──► rows ──► lanes

One budget holds for everything that unfinished messages hold on all connections; over it, the connection that holds
most is closed. Back-pressure: while the sink has no room nothing is read, the kernel's buffer fills, the sender waits.

A stop: a connection is read until its sender has nothing left (a sender that was held up gets a moment to show what it
has), then frozen, read to the end of what the kernel has acknowledged, and reset. So a line is either here, or its
sender can know that it is not.
"""

import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple, TypeVar

from collectors.sink import Sink
from collectors.syslog.datagrams import Peer
from collectors.syslog.dialects import Grammar, Origins
from collectors.syslog.fast import parse_block, parse_frames
from collectors.syslog.framing import DOUBT, Framer, Frames
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.limits import Host, RateLimit
from collectors.syslog.pump import After, Nap
from collectors.syslog.slow import Reading, Row
from collectors.syslog.sockets import freeze, reset
from collectors.syslog.streams import Broken, Stream

READ_BYTES: Final = 65_536
BUDGET_BYTES: Final = 16 << 20
_GATHER_BYTES: Final = 49_152  # may wait in the socket during a nap: less than a first window, 64 KiB
_HELD_UP_SECONDS: Final = 1.0  # a full chunk so lately: the sender may hold back more than its window let through
_QUIET_SECONDS: Final = 0.2  # such a sender has nothing left when it sends nothing for so long
_LEAST_NAP_SECONDS: Final = 0.01  # at a stop


_NO_LINE: Final = re.compile(rb"\n(?:[1-9][0-9]{0,6} <|\n)")  # an octet count, or nothing, where a line begins
_Some = TypeVar("_Some", tuple[bytes, ...], list[Row])


class Sender(NamedTuple):
    """Who is at the other end: what rows say of it, by whom limits count it, and what is read from it."""

    peer: Peer
    host: Host
    identity: str | None
    stream: Stream


class Shared(NamedTuple):
    """What the connections of a listener share."""

    sink: Sink
    lanes: LaneSorter
    budget: "Budget"
    rates: RateLimit
    reading: Reading
    transport: str
    max_message_bytes: int
    forget: Callable[["TcpConnection"], None]
    new_order: Callable[[], list[Grammar]]


class Budget:
    """Owns the count of bytes that unfinished messages hold, over all connections of a collector."""

    def __init__(self, limit_bytes: int = BUDGET_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[TcpConnection, int] = {}
        self._total = 0

    def set(self, connection: "TcpConnection", held_bytes: int) -> None:
        """Note what a connection holds now; over the limit the one that holds most is closed."""
        self._total += held_bytes - self._held.pop(connection, 0)
        if held_bytes:
            self._held[connection] = held_bytes
        while self._total > self._limit_bytes:
            max(self._held, key=self._held.__getitem__).end("read-budget")


class TcpConnection:
    """Owns one accepted socket and what of its stream is not yet a message."""

    def __init__(self, sock: socket.socket, sender: Sender, shared: "Shared") -> None:
        self.sender = sender
        self.nap = Nap(room=_GATHER_BYTES, has_window=True)
        self.read_at = time.monotonic()
        self._full_at = self.read_at - _HELD_UP_SECONDS  # when a whole chunk was there
        self._is_stopping = False
        self._is_frozen = False
        self._sock = sock
        self._stream = sender.stream
        self._shared = shared
        self._framer = Framer(shared.max_message_bytes, shared.sink.count)
        self._order = shared.new_order()

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._sock.fileno()

    def read(self) -> After:
        """Take one chunk, parse the messages that end in it, and put them."""
        try:
            data = self._stream.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return self._after_nothing()
        except Broken as error:
            self.end(error.reason)
            return After.CLOSED
        except OSError:  # reset, or the other end is gone: what it had finished is here
            self.end("reset")
            return After.CLOSED
        held = self._framer.held_bytes
        if not data:
            is_ours = self._is_frozen and self._sock.family == socket.AF_UNIX  # a shutdown, not the sender's end
            self._put(self._framer.finish(is_cut=is_ours), size=held)
            self._forget()
            self._stream.close()
            self._sock.close()
            return After.CLOSED
        self.read_at = time.monotonic()
        frames = self._framer.feed(data)
        self._put(frames, size=held + len(data) - self._framer.held_bytes)
        self._shared.budget.set(self, self._framer.held_bytes)
        if self._sock.fileno() < 0:  # it was this one that held most
            return After.CLOSED
        is_full = len(data) == READ_BYTES
        if is_full:
            self._full_at = self.read_at
        return After.MORE if self._is_stopping else self.nap.after(len(data), is_full=is_full)

    def stop(self) -> None:
        """Close as soon as the sender has nothing left; from now on the pump looks after it to its end."""
        self._is_stopping = True

    def freeze(self) -> None:
        """Take nothing more from the sender; what is here can still be read."""
        if not self._is_frozen:
            freeze(self._sock)
            self._is_stopping = self._is_frozen = True

    def end(self, reason: str | None) -> None:
        """Close from our side, counted; the beginning of a message that is held becomes a row, flagged `cut`."""
        if reason is not None:
            self._shared.sink.count(reason)
        held = self._framer.held_bytes
        self._forget()
        reset(self._sock)
        self._put(self._framer.finish(is_cut=True), size=held)

    def abandon(self, reason: str) -> None:
        """Close without reading on, and count the bytes that are lost by it."""
        self.freeze()
        lost = self._framer.held_bytes + self._stream.unread_bytes()
        if lost:
            self._shared.sink.count(reason, lost)
        self._forget()
        reset(self._sock)

    def is_silent(self, since: float) -> bool:
        """Tell whether nothing has come since then; what waits for room in the sink has come."""
        return self.read_at < since and not self._stream.unread_bytes()

    def _after_nothing(self) -> After:
        """Decide what comes when nothing is there to be read; at a stop it is the end, if it is sure."""
        if not self._is_stopping:
            return self.nap.after(0, is_full=False)
        if self._is_frozen:
            self.end(None)
            return After.CLOSED
        now = time.monotonic()
        if now - self._full_at < _HELD_UP_SECONDS and now - self.read_at < _QUIET_SECONDS:
            self.nap.seconds = max(self.nap.seconds, _LEAST_NAP_SECONDS)
            return After.NAP
        self.freeze()
        return After.MORE

    def _forget(self) -> None:
        self._shared.forget(self)

    def _put(self, frames: Frames, *, size: int) -> None:
        """Put the rows of messages that took `size` bytes; where a bug prevents it, those bytes are lost and counted."""
        shared, sender = self._shared, self.sender
        origins = Origins(time.time_ns(), shared.transport, sender.identity, sender.peer[0], sender.peer[1])
        with ExitStack() as stack:
            stack.callback(shared.sink.count, "failed-bytes", size)
            paid = 0
            if shared.rates.is_on:
                frames, paid = self._within_rate(frames)
            rows = read_rows(frames, framer=self._framer, origins=origins, reading=shared.reading, order=self._order)
            if shared.rates.is_on and len(rows) > paid:  # octet counts that were hidden among lines
                rows = self._drop_over(rows, paid + shared.rates.take(sender.host, len(rows) - paid))
            shared.lanes.put(rows)
            stack.pop_all()

    def _within_rate(self, frames: Frames) -> tuple[Frames, int]:
        """Give the messages that the sender's rate allows, the first ones, and for how many it has paid.

        The others are counted, and never parsed. Lines in a block are taken for one message each.
        """
        messages = frames.block.count(b"\n") + 1 if frames.block else len(frames.messages)
        passing = self._shared.rates.take(self.sender.host, messages)
        if passing == messages:
            return frames, passing
        if frames.block and not _NO_LINE.search(b"\n" + frames.block + b"\n"):
            self._shared.sink.count("rate-limit", messages - passing)
            return _first_lines(frames, passing), passing
        whole = self._framer.cut(frames.data) if frames.block else frames
        return whole._replace(messages=self._drop_over(whole.messages, passing)), passing

    def _drop_over(self, some: _Some, passing: int) -> _Some:
        if len(some) > passing:
            self._shared.sink.count("rate-limit", len(some) - passing)
        return some[:passing]


def _first_lines(frames: Frames, count: int) -> Frames:
    """Give the first lines of a block of which all lines are messages; what follows the block stays where it is."""
    kept = b"\n".join(frames.block.split(b"\n", count)[:count])
    rest = frames.data[frames.data.rfind(b"\n") + 1 :]
    return Frames(block=kept, data=kept + b"\n" + rest) if kept else Frames()


def read_rows(frames: Frames, *, framer: Framer, origins: Origins, reading: Reading, order: list[Grammar]) -> list[Row]:
    """Parse what a framer gave; a block whose lines turn out to be none is cut anew by the same framer."""
    if frames.block:
        rows = parse_block(frames.block, origins=origins, reading=reading, order=order, doubt=DOUBT)
        if rows is not None:
            return rows
        frames = framer.cut(frames.data)
    return parse_frames(frames.messages, cut=frames.beginnings, origins=origins, reading=reading, order=order)
