"""Losses that an agent has declared, read out of its stream `agent` for the receiver's ledger.

A row of `evicted` or `dropped` names a contiguous range of batches by epoch, lane and seq. Whatever is not exactly
that is a row like any other, so a ledger can read what anybody sent (`docs/wire-format.md`, "The stream agent").
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from wire.decode import UNSIGNED, Refused, read_bytes, read_integer, read_text
from wire.names import EPOCH_BYTES, LANES, MAX_SEQ

AGENT_STREAM: Final = "agent"
EVENTS: Final = frozenset({"evicted", "dropped"})
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


def read_declared(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> list[Declared]:
    """Give what rows of the stream `agent` declare lost; never raises.

    Args:
        columns: of the head; without `event` and `detail` nothing is declared.
        rows: as decoded, so of the columns' width and types.
    """
    at = {name: index for index, (name, _) in enumerate(columns)}
    if not {"event", "detail"} <= at.keys():
        return []
    found = [_read(row[at["event"]], row[at["detail"]]) for row in rows]
    return [declared for declared in found if declared is not None]


def _read(event: Any, detail: Any) -> Declared | None:
    """Read one detail; None when the rows never had a name, or it is not as specified."""
    if not isinstance(event, str) or event not in EVENTS or not isinstance(detail, dict):
        return None
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
