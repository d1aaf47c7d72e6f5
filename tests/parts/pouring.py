"""Senders that pour, and know to the byte what the other end's kernel has acknowledged (tcp(7), TCP_INFO).

A line is `LINE_BYTES` long and reads `<PRI>... n=000000017 c=3 ...`: the 17th over connection 3. An acknowledged line
is in the receiver's custody, whatever its program has done with it; one that is not still is the sender's.
"""

import asyncio
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LINE_BYTES = 1_000
_BYTES_ACKED = struct.Struct("=Q")  # struct tcp_info, tcpi_bytes_acked; the SYN counts as one
_BYTES_ACKED_AT = 120
_LINE = re.compile(r"n=(\d{9}) c=(\d{3}) x*")


def line(number: int, connection: int) -> bytes:
    begun = b"<134>Nov 24 08:00:00 xa-017 meter[812]: n=%09d c=%03d " % (number, connection)
    return begun.ljust(LINE_BYTES - 1, b"x") + b"\n"


@dataclass
class Pourer:
    """One connection.

    Attributes:
        taken: lines that our own kernel took whole.
    """

    number: int
    sock: socket.socket
    taken: int = 0

    @classmethod
    def connect(cls, port: int, number: int) -> "Pourer":
        sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        sock.setblocking(False)
        return cls(number, sock)

    async def pour(self, lines: int | None = None, *, pause_seconds: float = 0.0) -> None:
        """Send so many lines, or until the other end resets the connection."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while lines is None or self.taken < lines:
                await loop.sock_sendall(self.sock, line(self.taken, self.number))
                self.taken += 1
                if pause_seconds and self.taken % 20 == 0:
                    await asyncio.sleep(pause_seconds)

    @property
    def acked_bytes(self) -> int:
        """What the other end's kernel has acknowledged; to be asked also after a reset."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 248)
        return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]) - 1


def arrived(rows: Iterable[dict[str, Any]]) -> tuple[dict[int, list[int]], list[str]]:
    """Give the numbers of the whole lines in rows, sorted, by connection; and what is no whole line."""
    numbers: dict[int, list[int]] = defaultdict(list)
    broken = []
    for row in rows:
        found = _LINE.fullmatch(row["message"] or "")
        if found is None or row["flag"] is not None:
            broken.append(f"{row['flag']}: {str(row['message'])[:80]}")
        else:
            numbers[int(found[2])].append(int(found[1]))
    return {connection: sorted(each) for connection, each in numbers.items()}, broken
