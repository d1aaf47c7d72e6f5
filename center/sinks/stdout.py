"""Rows to stdout, for pipes. At least once: what was printed before a crash may be printed again after it.

A receipt means that the rows were handed to the pipe. What its reader does with them is out of our sight.
"""

import sys
from collections.abc import Mapping, Sequence

from center.sinks import ReaderGone, Rows
from wire.batch import Batch
from wire.render import envelope_of, render_rows


class Stdout:
    """NDJSON on stdout; a reader that is slow holds the receiver back, one that goes away ends it."""

    needs_rows = True

    def write(self, batch: Batch, rows: Rows) -> None:
        """Print the rows of one batch.

        Raises:
            ReaderGone: nobody reads any more.
        """
        try:
            sys.stdout.buffer.write(render_rows(batch.head.columns, rows, envelope=envelope_of(batch.head)))
        except BrokenPipeError as error:
            raise ReaderGone from error

    def sync(self) -> Mapping[str, int]:
        """Flush; there is no position to keep.

        Raises:
            ReaderGone: nobody reads any more.
        """
        try:
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error
        return {}

    def rotate(self) -> Sequence[str]:
        """Nothing to rotate."""
        return ()

    def close(self) -> None:
        """Nothing to close: what was committed was flushed."""
