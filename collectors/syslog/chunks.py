"""A chunk of bytes to rows: the fast path where the bytes are UTF-8, line by line where they are not."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from collectors.syslog.config import Listener
from collectors.syslog.fast import parse_datagrams, parse_lines
from collectors.syslog.framing import Part
from collectors.syslog.slow import Origin, parse_message
from collectors.syslog.times import TimeMemo


class Parser:
    """Parses what one listener receives; keeps its memo of times."""

    def __init__(self, listener: Listener) -> None:
        zone = ZoneInfo(listener.zone)
        self._memo = TimeMemo(zone)
        self.origin = Origin(listener.transport, zone, listener.encoding)

    def origin_of(self, address: Any) -> Origin:
        """Whose messages come from a socket address."""
        return replace(self.origin, peer=peer_of(str(address[0])), port=int(address[1]))

    def parse_parts(self, parts: Sequence[Part], origin: Origin) -> list[tuple[Any, ...]]:
        """Parse what a framer gave, in order."""
        received_ns = time.time_ns()
        rows: list[tuple[Any, ...]] = []
        run: list[bytes] = []  # single messages without a newline are joined again: one call for all of them
        for part in parts:
            if part.is_cut or (not part.is_lines and b"\n" in part.data):
                rows += self._lines(b"\n".join(run), origin, received_ns)
                run = []
                flags = ("cut",) if part.is_cut else ()
                rows.append(parse_message(part.data, origin, received_ns=received_ns, flags=flags))
            elif part.data:
                run.append(part.data)
        return rows + self._lines(b"\n".join(run), origin, received_ns)

    def _lines(self, data: bytes, origin: Origin, received_ns: int) -> list[tuple[Any, ...]]:
        if not data:
            return []
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return [parse_message(line, origin, received_ns=received_ns) for line in data.split(b"\n")]
        return parse_lines(text, origin, received_ns=received_ns, memo=self._memo)

    def parse_datagrams(self, datagrams: Sequence[bytes], origins: Sequence[Origin]) -> list[tuple[Any, ...]]:
        """Parse one drain of a UDP socket, the n-th datagram from the n-th origin; none of them is empty."""
        received_ns = time.time_ns()
        joined = b"\n".join(datagrams)
        if joined.count(b"\n") == len(datagrams) - 1:
            try:
                text = joined.decode()
            except UnicodeDecodeError:
                pass
            else:
                return parse_datagrams(text, origins, received_ns=received_ns, memo=self._memo)
        return [
            parse_message(data, origin, received_ns=received_ns)
            for data, origin in zip(datagrams, origins, strict=True)
        ]


def peer_of(address: str) -> str:
    """Write an address as a person would: v4-mapped IPv6 as IPv4, without a zone index."""
    return address.removeprefix("::ffff:") if "." in address else address.partition("%")[0]
