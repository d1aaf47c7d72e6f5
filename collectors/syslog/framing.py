"""Framing on a stream: octet counting or newline (or NUL), found per message, across any chunk borders.

RFC 6587 sections 3.4.1 and 3.4.2. Octet counting is recognised only by `[1-9][0-9]{0,6} <`, so a line that begins
with a number stays a line. An over-long message is cut at the limit and the stream stays in step.

    chunk + what was left ──► Lines (LF-separated, none over-long) and single frames, in order ──► what is left
"""

import re
from typing import Final, NamedTuple

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,6}) <")
_COUNT_AFTER: Final = re.compile(rb"[\n\0]+[1-9][0-9]{0,6} <")
_MAYBE_COUNT: Final = re.compile(rb"[1-9][0-9]{0,6} ?")


class Part(NamedTuple):
    """Some messages. With `is_lines` the data are LF-separated lines, else one message, whatever is in it."""

    data: bytes
    is_lines: bool
    is_cut: bool = False


class Framer:
    """Cuts one connection's bytes into messages."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._skip_bytes = 0  # of an octet-counted message beyond the limit
        self._skip_line = False  # until the end of an over-long line
        self.left = b""
        self.empty_frames = 0

    def feed(self, chunk: bytes) -> list[Part]:
        """Take a chunk; give the messages that are whole now."""
        data = self.left + chunk if self.left else chunk
        parts: list[Part] = []
        at = 0
        while at < len(data):
            step = self._step(data, at, parts)
            if step < 0:
                break
            at = step
        self.left = data[at:]
        return parts

    def close(self) -> list[Part]:
        """The stream has ended: a last line without its LF is a message; an unfinished counted one is cut."""
        left, self.left = self.left, b""
        if not left or self._skip_line:
            return []
        count = _COUNT.match(left)
        if count is not None:
            return [Part(left[count.end() - 1 :][: self._max_bytes], is_lines=False, is_cut=True)]
        return [Part(left.rstrip(b"\r")[: self._max_bytes], is_lines=False)]

    def _step(self, data: bytes, at: int, parts: list[Part]) -> int:
        """Take one piece of the data; give the index behind it, -1 when more bytes are needed."""
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(data) - at)
            self._skip_bytes -= skipped
            return at + skipped
        if self._skip_line:
            return self._end_of_skipped(data, at)
        if data[at] in b"123456789":
            count = _COUNT.match(data, at)
            if count is not None:
                return self._counted(data, count, parts)
            if _MAYBE_COUNT.fullmatch(data, at) is not None:
                return -1
        return self._lines(data, at, parts)

    def _end_of_skipped(self, data: bytes, at: int) -> int:
        ends = [end for end in (data.find(b"\n", at), data.find(b"\0", at)) if end >= 0]
        self._skip_line = not ends
        return min(ends) + 1 if ends else len(data)

    def _counted(self, data: bytes, count: re.Match[bytes], parts: list[Part]) -> int:
        size, start = int(count[1]), count.end() - 1
        if size > self._max_bytes:
            if len(data) - start < self._max_bytes:
                return -1
            parts.append(Part(data[start : start + self._max_bytes], is_lines=False, is_cut=True))
            self._skip_bytes = size - self._max_bytes
            return start + self._max_bytes
        if len(data) - start < size:
            return -1
        parts.append(Part(data[start : start + size].rstrip(b"\r\n\0"), is_lines=False))
        return start + size

    def _lines(self, data: bytes, at: int, parts: list[Part]) -> int:
        """Take all lines up to the next counted message."""
        border = _COUNT_AFTER.search(data, at)
        end = border.end() - len(border[0].lstrip(b"\n\0")) if border else max(data.rfind(b"\n"), data.rfind(b"\0")) + 1
        if end <= at:
            if len(data) - at <= self._max_bytes:
                return -1
            parts.append(Part(data[at : at + self._max_bytes], is_lines=False, is_cut=True))
            self._skip_line = True
            return at + self._max_bytes
        block = data[at:end]
        if b"\0" in block:
            block = block.replace(b"\0", b"\n")
        if b"\r\n" in block:
            block = block.replace(b"\r\n", b"\n")
        self._add_block(block[:-1], parts)
        return end

    def _add_block(self, block: bytes, parts: list[Part]) -> None:
        """Add lines, without the empty ones, the over-long ones cut."""
        if block.startswith(b"\n") or block.endswith(b"\n") or b"\n\n" in block or not block:
            lines = block.split(b"\n")
            self.empty_frames += sum(not line for line in lines)
            block = b"\n".join(filter(None, lines))
        if not block:
            return
        if len(block) > self._max_bytes and max(map(len, block.split(b"\n"))) > self._max_bytes:
            for line in block.split(b"\n"):
                parts.append(Part(line[: self._max_bytes], is_lines=False, is_cut=len(line) > self._max_bytes))
        else:
            parts.append(Part(block, is_lines=True))
