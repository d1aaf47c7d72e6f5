"""Rows to stdout, for pipes. At least once: what was printed before a crash may be printed again after it."""

import sys
from collections.abc import Mapping, Sequence

from center.sinks import Rows
from wire.batch import Batch
from wire.names import LANES
from wire.render import render_rows


class Stdout:
    """NDJSON on stdout."""

    needs_rows = True

    def write(self, batch: Batch, rows: Rows) -> None:
        """Print the rows of one batch."""
        head = batch.head
        envelope = {"stream": head.stream, "site": head.site, "agent": head.agent, "epoch": head.epoch.hex()}
        envelope |= {"lane": LANES[head.lane]}
        sys.stdout.buffer.write(render_rows(head.columns, rows, envelope={**envelope, "seq": head.seq}))

    def sync(self) -> Mapping[str, int]:
        """Flush; there is no position to keep."""
        sys.stdout.buffer.flush()
        return {}

    def rotate(self) -> Sequence[str]:
        """Nothing to rotate."""
        return ()

    def close(self) -> None:
        """Flush."""
        sys.stdout.buffer.flush()
