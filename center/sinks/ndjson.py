"""NDJSON: one line a row, in `<dir>/<stream>/<UTC>-<n>.ndjson`, written under `.open` until it is finished."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from center.sinks import Rows
from center.sinks.files import Files
from wire.batch import Batch
from wire.render import envelope_of, render_rows


class Ndjson:
    """Rows as lines, with the receiver's envelope before the columns."""

    needs_rows = True

    def __init__(self, folder: Path, *, positions: Mapping[str, int]) -> None:
        self._files = Files(folder, ".ndjson", positions=positions)

    def write(self, batch: Batch, rows: Rows) -> None:
        """Append the rows of one batch."""
        lines = render_rows(batch.head.columns, rows, envelope=envelope_of(batch.head))
        self._files.write(batch.head.stream, lines)

    def sync(self) -> Mapping[str, int]:
        """One fdatasync a stream."""
        return self._files.sync()

    def rotate(self) -> Sequence[str]:
        """At 256 MiB or after an hour."""
        return self._files.rotate()

    def close(self) -> None:
        """Leave files open for the next start."""
        self._files.close()
