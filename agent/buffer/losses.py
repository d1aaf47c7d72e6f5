"""Losses on purpose, and how they are declared: one row of the stream `agent` per contiguous range of batches.

The center's ledger reads these rows: a hole that is declared is no alarm (`docs/wire-format.md`, "The stream agent").
A loss is remembered here until the batch that declares it is committed or held.
"""

import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agent import events
from agent.buffer.rows import Held, Sealed, Victim
from agent.buffer.tables import SpanRow
from wire.names import LANES

EVICTED: Final = "evicted"  # to make room, oldest first
DROPPED: Final = "dropped"  # because it can never be sent
MAX_ROWS: Final = 500  # of one declaring batch


@dataclass(slots=True)
class Lost:
    """A contiguous range of batches of one epoch and lane, lost for one reason."""

    event: str
    reason: str
    epoch: bytes
    lane: int
    first_seq: int
    last_seq: int
    rows: int
    first_ns: int
    last_ns: int

    def takes(self, other: "Lost") -> bool:
        """Lengthen this range by the next batch, if it is the next."""
        mine = (self.event, self.reason, self.epoch, self.lane, self.last_seq + 1)
        if mine != (other.event, other.reason, other.epoch, other.lane, other.first_seq):
            return False
        self.last_seq = other.last_seq
        self.rows += other.rows
        self.last_ns = other.last_ns
        return True

    def row(self) -> tuple[Any, ...]:
        """As it is declared."""
        text = f"{self.rows} rows of the lane {LANES[self.lane]} were {self.event}: {self.reason}"
        detail = {
            "epoch": self.epoch,
            "lane": LANES[self.lane],
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "rows": self.rows,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "reason": self.reason,
        }
        return events.row(self.event, severity=events.ERROR, text=text, detail=detail)


class Losses:
    """What is lost and not declared yet."""

    def __init__(self) -> None:
        self._ranges: list[Lost] = []
        self._rows: list[tuple[Any, ...]] = []

    def __bool__(self) -> bool:
        return bool(self._ranges or self._rows)

    def add(self, held: Iterable[Held | Victim], *, event: str, reason: str) -> None:
        """Remember lost batches, each lane oldest first."""
        for one in held:
            self.add_range(_lost(one, event, reason))

    def add_range(self, lost: Lost) -> None:
        """Remember a range."""
        if not any(known.takes(lost) for known in self._ranges[-3:]):
            self._ranges.append(lost)

    def tell(self, row: tuple[Any, ...]) -> None:
        """Remember any other row of the stream `agent`."""
        self._rows.append(row)

    def sealed(self) -> list[Sealed]:
        """Urgent batches that declare everything remembered."""
        rows = [*self._rows, *(lost.row() for lost in self._ranges)]
        return [_seal(rows[start : start + MAX_ROWS]) for start in range(0, len(rows), MAX_ROWS)]

    def clear(self) -> None:
        """It is declared."""
        self._ranges.clear()
        self._rows.clear()


def share_out(
    rows: int,
    spans: Mapping[tuple[bytes, int], SpanRow],
    seen: Mapping[tuple[bytes, int], Container[int]],
    *,
    reason: str,
) -> list[Lost]:
    """Name what is lost when only its rows could be counted: every gap in the spans takes its part of them.

    Args:
        rows: lost in all.
        spans: what was held: each epoch and lane from `first_held` to `last`.
        seen: seqs that are not lost.
        reason: why.
    """
    now = time.time_ns()
    lost: list[Lost] = []
    for (epoch, lane), span in spans.items():
        for seq in range(span.first_held, span.last + 1) if rows else ():
            if seq in seen.get((epoch, lane), ()):
                continue
            if lost and (lost[-1].epoch, lost[-1].lane, lost[-1].last_seq + 1) == (epoch, lane, seq):
                lost[-1].last_seq = seq
            else:
                lost.append(Lost(DROPPED, reason, epoch, lane, seq, seq, 0, now, now))
    batches = sum(one.last_seq - one.first_seq + 1 for one in lost)
    for one in lost:
        count = one.last_seq - one.first_seq + 1
        one.rows = rows * count // batches
        rows, batches = rows - one.rows, batches - count
    return lost


def _lost(held: Held | Victim, event: str, reason: str) -> Lost:
    name, at = held.name, held.committed_ns
    return Lost(event, reason, name.epoch, name.lane, name.seq, name.seq, held.rows, at, at)


def _seal(rows: list[tuple[Any, ...]]) -> Sealed:
    stream = events.AGENT
    body = msgspec.msgpack.encode(rows)
    return Sealed(stream.name, stream.columns, 0, len(rows), body, rows[0][1], rows[-1][1])
