r"""A TCP stream to messages: octet counting and newlines, told apart message by message, across any chunk borders.

    "23 <13>1 ...<14>line\n<14>line\0" ──► "<13>1 ..." | "<14>line" | "<14>line"

Source: RFC 6587 section 3.4. A message that begins with `[1-9][0-9]{0,6} <` is octet-counted; every other one ends at
LF (a CR before it is dropped) or NUL. Empty messages are skipped and counted.

Most streams are nothing but lines, so `feed` takes a chunk for lines at once when nothing speaks against it, and leaves
it in one piece for the fast path. What could speak against it only later, an octet count or an empty line in the middle,
shows there as a line that no pattern takes; then `cut` goes through the same bytes message by message.

Invariants: a message longer than the limit is cut there, its rest is skipped, and the stream stays in step. What is
held between two chunks is never longer than the limit and one octet count. A byte is looked at a fixed number of times,
however small the pieces in which its message trickles in: until the message can end, pieces are only gathered.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

DOUBT: Final = re.compile(r"[1-9][0-9]{0,6} <|\Z", re.ASCII)
"""Matches a line that may be none: an octet count, or an empty frame."""

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,6}) (?=<)")
_END: Final = re.compile(rb"[\n\0]")
_COUNT_BYTES: Final = len(b"9999999 <")  # so many tell whether a message is counted
_TRAILER: Final = b"\0\r\n"  # an octet-counted message that carries a line end beside its count


class Frames(NamedTuple):
    """What a chunk held: either `block`, lines joined by LF and none of them looked at, or messages one by one.

    `data` is what `block` was made of, for `Framer.cut`. `beginnings` are the indexes of messages cut at the limit.
    """

    block: bytes = b""
    data: bytes = b""
    messages: tuple[bytes, ...] = ()
    beginnings: frozenset[int] = frozenset()


class Framer:
    """Owns what is between two chunks of one stream: the beginning of a message, or how much of one is to skip."""

    def __init__(self, max_message_bytes: int, count: Callable[[str], None]) -> None:
        """`count` is told `empty` and `cut`, each time."""
        self._max_bytes = max_message_bytes
        self._held: bytes | bytearray = b""
        self._wanted = 0  # held in all, before a counted message that is held can be looked at again
        self._skip_octets = 0
        self._skips_line = False
        self._count = count

    @property
    def held_bytes(self) -> int:
        """How much is held until its message is complete."""
        return len(self._held)

    def feed(self, data: bytes) -> Frames:
        """Take the next bytes of the stream and give the messages that end in them."""
        data = self._skip(data)
        if self._held:
            if self._goes_on(data):
                self._gather(data)
                return Frames()
            data = bytes(self._held) + data
        end = data.rfind(b"\n")
        if end <= 0 or b"\0" in data or _COUNT.match(data) or _COUNT.match(data, end + 1):
            return self.cut(data)
        block, held = data[:end], data[end + 1 :]
        if len(held) > self._max_bytes or self._has_long_line(block):
            return self.cut(data)
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
            if not block:  # an empty line alone in a chunk: skipped, and counted
                return self.cut(data)
        self._held = held
        return Frames(block=block, data=data)

    def cut(self, data: bytes) -> Frames:
        """Cut bytes that begin at the beginning of a message into messages, one by one."""
        messages: list[bytes] = []
        beginnings: set[int] = set()
        self._wanted = at = 0
        while at < len(data):
            count = _COUNT.match(data, at)
            found = self._counted(data, count) if count else self._line(data, at)
            if found is None:
                break
            message, at, is_cut = found
            if is_cut:
                self._count("cut")
                beginnings.add(len(messages))
            if message:
                messages.append(message)
            else:
                self._count("empty")
        self._held = data[at:]
        return Frames(messages=tuple(messages), beginnings=frozenset(beginnings))

    def finish(self, *, is_cut: bool = False) -> Frames:
        """Give what is left when the stream ends: a line without its end is whole, a counted message is cut.

        Args:
            is_cut: it was not the sender that ended the stream, so a line without its end is cut too.
        """
        held, self._held = bytes(self._held), b""
        self._wanted = 0
        count = _COUNT.match(held)
        message = held[count.end() :] if count else held.removesuffix(b"\r")
        if not message:
            return Frames()
        is_cut = is_cut or count is not None
        if is_cut:
            self._count("cut")
        return Frames(messages=(message,), beginnings=frozenset({0} if is_cut else ()))

    def _goes_on(self, data: bytes) -> bool:
        """Tell whether the message that is held goes on beyond these bytes; only they are looked at."""
        size = len(self._held) + len(data)
        if self._wanted:
            return size < self._wanted
        is_line = len(self._held) >= _COUNT_BYTES
        return is_line and size <= self._max_bytes and b"\n" not in data and b"\0" not in data

    def _gather(self, data: bytes) -> None:
        if not isinstance(self._held, bytearray):
            self._held = bytearray(self._held)  # grows in place: neither copied nor a list of a million small pieces
        self._held += data

    def _skip(self, data: bytes) -> bytes:
        """Drop what belongs to a message that was cut."""
        if self._skip_octets:
            skipped = min(self._skip_octets, len(data))
            self._skip_octets -= skipped
            return data[skipped:]
        if self._skips_line:
            end = _END.search(data)
            self._skips_line = end is None
            return data[end.end() :] if end else b""
        return data

    def _has_long_line(self, block: bytes) -> bool:
        """Tell whether a line is over the limit; lines are measured only where a long one is possible at all."""
        if len(block) <= self._max_bytes:
            return False
        first = block.find(b"\n")
        if first < 0 or first > self._max_bytes:
            return True
        return len(block) - first > self._max_bytes and max(map(len, block.split(b"\n"))) > self._max_bytes

    def _counted(self, data: bytes, count: re.Match[bytes]) -> tuple[bytes, int, bool] | None:
        """Take an octet-counted message: the message, where the next one begins, whether it was cut."""
        length, begin = int(count[1]), count.end()
        taken = begin + min(length, self._max_bytes)
        if taken > len(data):
            self._wanted = taken - count.start()
            return None
        if length <= self._max_bytes:
            return data[begin:taken].rstrip(_TRAILER), taken, False
        self._skip_octets = max(0, begin + length - len(data))
        return data[begin:taken], min(begin + length, len(data)), True

    def _line(self, data: bytes, at: int) -> tuple[bytes, int, bool] | None:
        """Take a message that ends at LF or NUL, in the same form."""
        end = _END.search(data, at)
        if end is None:
            if len(data) - at <= self._max_bytes:
                return None
            self._skips_line = True
            return data[at : at + self._max_bytes], len(data), True
        message = data[at : end.start()]
        if end[0] == b"\n":
            message = message.removesuffix(b"\r")
        return message[: self._max_bytes], end.end(), len(message) > self._max_bytes
