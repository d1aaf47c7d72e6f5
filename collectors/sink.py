"""The floor of every collector: rows, streams, lanes, and the sink they are written to.

A row is a plain tuple in the order of its stream's columns. The columns are the fields of a `NamedTuple` that hot
paths never build; it exists so that names, types and documentation have one place.

    device ──bytes──► collector ──rows──► Sink.put ──► agent (intake, buffer, forward)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Protocol, Union, get_args, get_origin, get_type_hints

Time = NewType("Time", int)
"""Nanoseconds since the epoch, UTC."""

_COLUMN_TYPES: dict[object, str] = {
    Time: "time",
    int: "int",
    float: "float",
    bool: "bool",
    str: "str",
    bytes: "bytes",
    dict: "map",
    list: "list",
}


class Lane(IntEnum):
    """How soon a row leaves and how late it is evicted. The collector decides it, the sink obeys."""

    URGENT = 0
    NORMAL = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows with fixed columns.

    Attributes:
        name: as in topics and file names.
        row: a NamedTuple class whose fields are the columns; the first two are `time` (the device's, nil if it gave
            none) and `received` (ours).
        source: the column that silence, rates and "last seen" go by.
        is_bounded: its collector itself keeps maps and lists small (at most 1,000 values a row, 8 levels, str keys, plain
            values), and tests hold it to that. In all other streams each map and list is looked through at a put.
    """

    name: str
    row: type[Any]
    source: str
    is_bounded: bool = False

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and wire type of each column, in order (`docs/wire-format.md`, section "Head")."""
        return columns_of(self.row)  # type: ignore[arg-type]  # a class is hashable, whatever its metaclass says

    @property
    def nested(self) -> tuple[int, ...]:
        """Indexes of the columns whose maps and lists have to be looked through."""
        if self.is_bounded:
            return ()
        return tuple(index for index, (_, kind) in enumerate(self.columns) if kind in {"map", "list"})


@cache
def columns_of(row: type[Any]) -> tuple[tuple[str, str], ...]:
    """Derive `(name, wire type)` for each field of a row class; any column may be nil on the wire.

    Raises:
        TypeError: an annotation that has no wire type.
    """
    hints = get_type_hints(row)
    return tuple((field, _wire_type(hints[field], field)) for field in row._fields)


def _wire_type(hint: Any, field: str) -> str:
    if get_origin(hint) in {Union, UnionType}:
        (hint,) = (option for option in get_args(hint) if option is not NoneType)
    bare = get_origin(hint) or hint
    if bare not in _COLUMN_TYPES:
        raise TypeError(f"column {field}: {hint!r} has no wire type")
    return _COLUMN_TYPES[bare]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is counted, and what that means. A collector declares every reason it counts by (`registry.py`).

    Attributes:
        name: as given to `Sink.count`. One reason has one unit, so that its numbers can be added up.
        unit: what is counted, in the plural: `datagrams`, `connections`, `bytes`. A datagram that is lost is a row.
        is_loss: data was lost, so it is a problem; else it is only shown.
        rows_of: the stream that has lost a row for each that is counted, as its account shall say; None where no row
            was lost, or nobody can tell how many.
        remedy: of a loss, what to do: a command or a hint.
    """

    name: str
    unit: str
    is_loss: bool = False
    rows_of: Stream | None = None
    remedy: str = ""

    @property
    def is_in_rows(self) -> bool:
        """Whether rows were lost, as many as are counted."""
        return self.is_loss and self.unit in {"rows", "datagrams"}


class Sink(Protocol):
    """What a collector writes to. It knows nothing of disks and custody; those are behind it."""

    def put(
        self,
        stream: Stream,
        rows: Sequence[tuple[Any, ...]],
        *,
        lane: Lane = Lane.NORMAL,
        mark: tuple[str, bytes] | None = None,
    ) -> None:
        """Encode rows at once into the open batch of (stream, lane); keep no tuple, never block, never raise.

        Args:
            stream: whose columns the rows have.
            rows: in the order in which they were received.
            lane: decided by the collector.
            mark: a key and its position (a file offset, a journal cursor), committed with, never before, all rows
                put before it.
        """

    async def drain(self) -> None:
        """Return when there is room. Await it before each read, so that a put after it never drops."""

    def marks(self) -> Mapping[str, bytes]:
        """Give this collector's committed marks, to read at start."""

    def count(self, reason: str, amount: int = 1) -> None:
        """Count what never became a row, by the name of its reason and in the reason's unit."""

    @property
    def finish_seconds(self) -> float:
        """How long a collector that was cancelled may go on to put what its senders have already handed over.

        It is cancelled again then; what it has not put by that time it has to count.
        """

    def report(self, **facts: object) -> None:
        """Set what status shows for this collector: plain values, lists and maps of them, replaced by key."""
