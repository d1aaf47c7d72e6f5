"""NDJSON: one line a row, in `<dir>/<stream>/<UTC>-<n>.ndjson`, written under `.open` until it is finished."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from center.sinks import Rows
from center.sinks.files import Files
from wire.batch import Batch
from wire.names import LANES
from wire.render import render_rows


class Ndjson:
    """Rows as lines, with the receiver's envelope before the columns."""

    needs_rows = True

    def __init__(self, folder: Path, *, positions: Mapping[str, int]) -> None:
        self._files = Files(folder, ".ndjson", positions=positions)

    def write(self, batch: Batch, rows: Rows) -> None:
        """Append the rows of one batch."""
        head = batch.head
        envelope = {
            "stream": head.stream,
            "site": head.site,
            "agent": head.agent,
            "epoch": head.epoch.hex(),
            "lane": LANES[head.lane],
            "seq": head.seq,
        }
        self._files.write(head.stream, render_rows(head.columns, rows, envelope=envelope))

    def sync(self) -> Mapping[str, int]:
        """One fdatasync a stream."""
        return self._files.sync()

    def rotate(self) -> Sequence[str]:
        """At 256 MiB or after an hour."""
        return self._files.rotate()

    def close(self) -> None:
        """Leave files open for the next start."""
        self._files.close()
