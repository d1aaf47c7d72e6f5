"""Batches as they came: head and body, length-prefixed, in `<dir>/<stream>/<UTC>-<n>.batches`. The cheapest sink.

4 bytes length of head, 4 bytes length of body (both big-endian), 16 bytes digest, head, body; then the next
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from center.sinks import Rows
from center.sinks.files import Files
from wire.batch import Batch

_FRAME: Final = struct.Struct(">II16s")


class Batches:
    """Bodies are neither decompressed nor decoded."""

    needs_rows = False

    def __init__(self, folder: Path, *, positions: Mapping[str, int]) -> None:
        self._files = Files(folder, ".batches", positions=positions)

    def write(self, batch: Batch, rows: Rows) -> None:  # noqa: ARG002 - the protocol's parameter
        """Append one batch."""
        frame = _FRAME.pack(len(batch.head_bytes), len(batch.body), batch.digest)
        self._files.write(batch.head.stream, b"".join((frame, batch.head_bytes, batch.body)))

    def sync(self) -> Mapping[str, int]:
        """One fdatasync a stream."""
        return self._files.sync()

    def rotate(self) -> Sequence[str]:
        """At 256 MiB or after an hour."""
        return self._files.rotate()

    def close(self) -> None:
        """Leave files open for the next start."""
        self._files.close()


def read_batches(path: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Read a file back: digest, head and body of each batch."""
    data = path.read_bytes()
    at = 0
    while at + _FRAME.size <= len(data):
        head, body, digest = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        yield digest, data[at : at + head], data[at + head : at + head + body]
        at += head + body
