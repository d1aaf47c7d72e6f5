"""Where a receiver puts what it takes: NDJSON files, stdout, or the batches as they came."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from wire.batch import Batch

Rows = Sequence[Sequence[Any]]


class ReaderGone(Exception):
    """Whoever read our stdout has closed it; nothing can be delivered there any more."""


class Sink(Protocol):
    """What the receiver writes to. After `sync` everything written holds."""

    needs_rows: bool

    def write(self, batch: Batch, rows: Rows) -> None:
        """Take one batch; `rows` is empty where `needs_rows` is false."""

    def sync(self) -> Mapping[str, int]:
        """Make it durable; give how many bytes of each open file hold."""

    def rotate(self) -> Sequence[str]:
        """Finish files that are old or large enough; give the names under which they were open."""

    def close(self) -> None:
        """Finish."""


def make_sink(kind: str, folder: Path, *, positions: Mapping[str, int]) -> Sink:
    """Open a sink where its last committed position is; what was written beyond it is cut off."""
    from center.sinks.batches import Batches
    from center.sinks.ndjson import Ndjson
    from center.sinks.stdout import Stdout

    if kind == "stdout":
        return Stdout()
    return Batches(folder, positions=positions) if kind == "batches" else Ndjson(folder, positions=positions)
