"""Which streams and columns rules may speak of: those of every registered collector, found by themselves.

The agent's own stream is not among them: in it losses are declared, and a ledger that a rule could thin out would
not close.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from collectors.registry import COLLECTORS
from collectors.sink import Stream
from wire.yaml.remedies import nearest, quoted

STREAMS: Final[dict[str, Stream]] = {stream.name: stream for one in COLLECTORS for stream in one.streams}


def kind_of(stream: Stream, column: str) -> str | None:
    """Give the wire type of a column, None if the stream has none such; only a map's name goes on after a dot."""
    kinds = dict(stream.columns)
    if column in kinds:
        return kinds[column]
    base, dot, path = column.partition(".")
    return "map" if dot and path and kinds.get(base) == "map" else None


def place_of(stream: Stream, column: str) -> int:
    """Give the place in a row of a column that the stream has."""
    return [name for name, _ in stream.columns].index(column.partition(".")[0])


def with_all(columns: Iterable[str], streams: Iterable[Stream]) -> list[Stream]:
    """Choose the streams that have every one of these columns."""
    wanted = tuple(columns)
    return [stream for stream in streams if all(kind_of(stream, column) for column in wanted)]


def mend_column(column: str, streams: Sequence[Stream]) -> str:
    """Say what to write instead of a column that none of these streams has."""
    base, dot, path = column.partition(".")
    known = list(dict.fromkeys(name for stream in streams for name, _ in stream.columns))
    if base in known:
        return f"{base} is no map, so nothing stands below it; write {base}"
    near = nearest(base, known)
    return f'did you mean "{near}{dot}{path}"?' if near else f"columns: {quoted(known)}"
