"""What is in flight, what a receipt means, and when to send again. Pure: times are given, nothing is awaited.

Invariants:
- A flight ends only by a receipt with its name and its digest, from every group that must confirm.
- Nothing else ends it: not a PUBACK, not a time-out, not a new connection.
- While nobody answers, only the oldest flight is sent again, as a probe, at doubling intervals.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from agent.buffer.rows import Held
from wire.names import BatchName
from wire.receipts import COMMITTED, LATER, REFUSED, REJECTED, REPEAT, Receipt

RESEND_SECONDS: Final = 5.0
RESEND_MOST_SECONDS: Final = 300.0
LATER_SECONDS: Final = 5.0
SUSPECT_LOSSES: Final = 3


class Verdict(Enum):
    """What a receipt asks the sender to do."""

    NOTHING = "nothing"  # not ours, not in flight, or more groups to wait for
    DONE = "done"  # every group has it: discard
    SLOW = "slow"  # keep it, send less
    READ_AGAIN = "read again"  # the bytes arrived broken: read them from the disk
    PARK = "park"  # broken twice
    DROP = "drop"  # the receiver keeps the bytes but will never take them: discard, counted
    CONFLICT = "conflict"  # the same, and our names are not ours alone: draw a new epoch


class Flight:
    """One batch in flight."""

    __slots__ = ("acked", "alone", "attempt", "first_sent", "held", "losses", "refusals", "refused", "sent", "waiting")

    def __init__(self, held: Held, groups: Sequence[str], now: float) -> None:
        self.held = held
        self.waiting = set(groups)
        self.first_sent = now
        self.sent = now
        self.attempt = 0  # sendings so far
        self.acked = False
        self.losses = 0  # connections in a row that ended before its PUBACK
        self.alone = False
        self.refusals = 0
        self.refused = 0  # the attempt that was refused last: a bent copy that somebody else sends is no second one


class Window:
    """Flights by name, in the order in which they first left."""

    def __init__(self, groups: Sequence[str], *, limit_bytes: int) -> None:
        self._groups = tuple(groups)
        self._limit_bytes = limit_bytes
        self.flights: dict[BatchName, Flight] = {}
        self.keys: set[int] = set()  # what must not be evicted; read from the buffer's thread
        self.bytes = 0
        self.smoothed_seconds: float | None = None
        self.backoff = 1
        self.quiet_since = 0.0  # of the last receipt, or of the first sending after it

    def has_room(self, lane: int) -> bool:
        """Tell whether one more batch may leave: each lane may always have one in flight."""
        return self.bytes < self._limit_bytes or not any(name.lane == lane for name in self.flights)

    def add(self, held: Held, now: float) -> Flight:
        """Put a batch in flight."""
        if not self.flights:
            self.quiet_since = now
        flight = self.flights[held.name] = Flight(held, self._groups, now)
        self.keys.add(held.key)
        self.bytes += held.size
        return flight

    def remove(self, flight: Flight) -> None:
        """End a flight."""
        if self.flights.pop(flight.held.name, None) is not None:
            self.keys.discard(flight.held.key)
            self.bytes -= flight.held.size

    def judge(self, group: str, receipt: Receipt, *, now: float) -> Verdict:
        """Say what a receipt means; the caller acts and removes the flight where it ends."""
        flight = self.flights.get(receipt.name)
        if flight is None or flight.held.digest != receipt.digest or group not in self._groups:
            return Verdict.NOTHING
        self.quiet_since, self.backoff = now, 1
        match receipt.outcome:
            case o if o in {COMMITTED, REPEAT}:
                flight.waiting.discard(group)
                if flight.attempt == 1:
                    self._smooth(now - flight.sent)
                return Verdict.NOTHING if flight.waiting else Verdict.DONE
            case o if o == LATER:
                flight.sent = now + LATER_SECONDS
                return Verdict.SLOW
            case o if o == REFUSED:
                if flight.refused == flight.attempt:
                    return Verdict.NOTHING
                flight.refused = flight.attempt
                flight.refusals += 1
                return Verdict.READ_AGAIN if flight.refusals == 1 else Verdict.PARK
            case o if o == REJECTED:
                return Verdict.CONFLICT if receipt.reason == "conflict" else Verdict.DROP
        return Verdict.NOTHING

    def _smooth(self, seconds: float) -> None:
        """RFC 6298 section 2, its gain of 1/8, without the variance: our floor is far above it."""
        smoothed = self.smoothed_seconds
        self.smoothed_seconds = seconds if smoothed is None else smoothed + (seconds - smoothed) / 8

    @property
    def resend_seconds(self) -> float:
        """How long to wait for a receipt before sending again."""
        return min(RESEND_MOST_SECONDS, max(RESEND_SECONDS, 4 * (self.smoothed_seconds or 0)) * self.backoff)

    def due(self, now: float) -> list[Flight]:
        """Flights to send again now: all that are overdue while receipts come, else the oldest, as a probe."""
        if not self.flights:
            return []
        if now - self.quiet_since >= self.resend_seconds:
            self.quiet_since = now
            self.backoff = min(2 * self.backoff, 64)
            return [next(iter(self.flights.values()))]
        if self.backoff > 1:
            return []
        patience = self.resend_seconds
        return [flight for flight in self.flights.values() if now - flight.sent >= patience]

    def heard(self, now: float, *, older_seconds: float = 1.0) -> list[Flight]:
        """A receiver has said that it is there: give what was sent before, to send it again."""
        self.quiet_since, self.backoff = now, 1
        return [flight for flight in self.flights.values() if now - flight.sent >= older_seconds]

    def lost(self) -> list[Flight]:
        """The connection is gone: give the flights that were lost alone, to be parked."""
        poison = []
        for flight in self.flights.values():
            if flight.attempt and not flight.acked:
                flight.losses += 1
                if flight.alone:
                    poison.append(flight)
            flight.acked = False
        return poison

    def suspects(self) -> list[Flight]:
        """Flights that were under way at three losses in a row: each goes alone now."""
        return [flight for flight in self.flights.values() if flight.losses >= SUSPECT_LOSSES]
