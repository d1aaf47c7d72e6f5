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
    """Bodies are neither decompressed nor decoded: whoever reads the files meets what nobody has looked into."""

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
    """Read a file back: digest, head and body of each batch; a batch that is not whole ends an open file."""
    with path.open("rb") as file:
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            head_bytes, body_bytes, digest = _FRAME.unpack(frame)
            data = file.read(head_bytes + body_bytes)
            if len(data) < head_bytes + body_bytes:
                return
            yield digest, data[:head_bytes], data[head_bytes:]
