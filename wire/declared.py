"""What an agent declares of itself, read out of its stream `agent` for the receiver's ledger: losses, unclean stops.

A row of `evicted` or `dropped` names a contiguous range of batches by epoch, lane and seq; one of `unclean-stop` names
two times. Whatever is not exactly that is a row like any other, so a ledger can read what anybody sent
(`docs/wire-format.md`, "The stream agent").
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from wire.decode import SIGNED, UNSIGNED, Refused, read_bytes, read_integer, read_text
from wire.names import EPOCH_BYTES, LANES, MAX_SEQ

AGENT_STREAM: Final = "agent"
EVENTS: Final = frozenset({"evicted", "dropped"})
UNCLEAN_STOP: Final = "unclean-stop"
_MAX_REASON: Final = 64
_SEQS: Final = range(1, MAX_SEQ + 1)


class Declared(NamedTuple):
    """A range of batches that are declared lost, both ends included, and how many rows they had."""

    epoch: bytes
    lane: int
    first_seq: int
    last_seq: int
    rows: int
    reason: str


class UncleanStop(NamedTuple):
    """A stop that was none (a kill, a power cut): what the agent took between these times, in ns UTC, is unknown."""

    first_ns: int
    last_ns: int


def read_declared(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> list[Declared]:
    """Give what rows of the stream `agent` declare lost; never raises.

    Args:
        columns: of the head; without `event` and `detail` nothing is declared.
        rows: as decoded, so of the columns' width and types.
    """
    found = [_read(detail) for event, detail in _details(columns, rows) if event in EVENTS]
    return [declared for declared in found if declared is not None]


def read_unclean_stops(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> list[UncleanStop]:
    """Give the unclean stops that rows of the stream `agent` tell of; never raises. Arguments as of `read_declared`."""
    found = [_read_stop(detail) for event, detail in _details(columns, rows) if event == UNCLEAN_STOP]
    return [stop for stop in found if stop is not None]


def _details(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Give event and detail of each row that has both."""
    at = {name: index for index, (name, _) in enumerate(columns)}
    if not {"event", "detail"} <= at.keys():
        return []
    pairs = [(row[at["event"]], row[at["detail"]]) for row in rows]
    return [(event, detail) for event, detail in pairs if isinstance(event, str) and isinstance(detail, dict)]


def _read_stop(detail: dict[str, Any]) -> UncleanStop | None:
    try:
        return UncleanStop(
            read_integer(detail.get("first_ns"), "first_ns", SIGNED),
            read_integer(detail.get("last_ns"), "last_ns", SIGNED),
        )
    except Refused:
        return None


def _read(detail: dict[str, Any]) -> Declared | None:
    """Read one detail; None when the rows never had a name, or it is not as specified."""
    lane = detail.get("lane")
    if not isinstance(lane, str) or lane not in LANES:
        return None
    try:
        found = Declared(
            epoch=read_bytes(detail.get("epoch"), "epoch", EPOCH_BYTES),
            lane=LANES.index(lane),
            first_seq=read_integer(detail.get("first_seq"), "first_seq", _SEQS),
            last_seq=read_integer(detail.get("last_seq"), "last_seq", _SEQS),
            rows=read_integer(detail.get("rows"), "rows", UNSIGNED),
            reason=read_text(detail.get("reason"), "reason")[:_MAX_REASON],
        )
    except Refused:
        return None
    return found if found.first_seq <= found.last_seq else None
