"""One open batch: rows that are encoded already, and not yet sealed."""

from typing import Final

from agent.buffer import Sealed
from collectors.sink import Stream

_ARRAY_32: Final = 0xDD  # MessagePack: array with a length of four bytes


class OpenBatch:
    """Encoded pieces, and what the batch's head will say of them."""

    __slots__ = ("first_ns", "last_ns", "pieces", "rows", "size", "stream")

    def __init__(self, stream: Stream, received_ns: int) -> None:
        self.stream = stream
        self.pieces: list[bytes] = []
        self.rows = 0
        self.size = 0
        self.first_ns = received_ns
        self.last_ns = received_ns

    def seal(self, lane: int) -> Sealed:
        """Give it as one array of rows."""
        header = bytes((_ARRAY_32,)) + self.rows.to_bytes(4, "big")
        return Sealed(
            stream=self.stream.name,
            columns=self.stream.columns,
            lane=lane,
            rows=self.rows,
            body=header + b"".join(self.pieces),
            first_ns=self.first_ns,
            last_ns=self.last_ns,
        )
