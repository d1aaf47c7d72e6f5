"""What is in flight, what a receipt means, and when to send again. Pure: times are given, nothing is awaited.

Invariants:
- A flight ends only when every group that must confirm it has had its say, by a receipt with its name and its digest.
- Nothing else ends it: not a PUBACK, not a time-out, not a new connection.
- What one group says ends the waiting for that group alone; a rejection is remembered until all have spoken.
- To a group that does not answer only the oldest flight is sent again, as a probe, at doubling intervals.
- A trial (a batch that was parked, the first of an origin that is not ours) may fail without being news: it is not sent
  again, and nobody is called silent because of it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

from agent.buffer.rows import Held
from wire.names import BatchName
from wire.receipts import COMMITTED, LATER, REFUSED, REJECTED, REPEAT, Receipt

RESEND_SECONDS: Final = 5.0
RESEND_MOST_SECONDS: Final = 300.0
LATER_SECONDS: Final = 5.0
SUSPECT_LOSSES: Final = 3
IGNORED: Final = 16  # sendings in vain while the group answers others: it never will
CONFLICT: Final = "conflict"  # reasons of a rejection that ask for more than an end
NOT_RELAY: Final = "not-relay"


class Verdict(Enum):
    """What a receipt asks the sender to do."""

    NOTHING = "nothing"  # not ours, not in flight, or more groups to wait for
    DONE = "done"  # every group has had its say: discard, by `Flight.what`
    SLOW = "slow"  # keep it, send less
    READ_AGAIN = "read again"  # the bytes arrived broken: read them from the disk
    PARK = "park"  # broken twice
    CONFLICT = "conflict"  # our names are not ours alone: draw a new epoch; discard if `Flight.is_over`
    HOLD_BACK = "hold back"  # the receiver does not take this origin's batches from us: keep them, send no more


class Flight:
    """One batch in flight.

    Attributes:
        waiting: groups that have not had their say.
        rejected: reason by group: it keeps the bytes but will never take the rows.
        later: reason by group: it asks to be given the batch later.
        refusals: times that the bytes arrived broken, by group.
        refused: the attempt that each group refused last: a bent copy that somebody else sends is no second one.
        attempt: sendings so far.
        is_out: sent on this connection, and no PUBACK has come.
        acked: a PUBACK has come on this connection.
        losses: connections in a row that ended while it was out.
        alone: nothing else was out beside it.
        ignored: sendings in vain while the group that is awaited answered others.
        is_trial: its failing is no news.
    """

    __slots__ = (
        *("acked", "alone", "attempt", "first_sent", "held", "ignored", "is_out", "is_trial", "later", "losses"),
        *("refusals", "refused", "rejected", "sent", "waiting"),
    )

    def __init__(self, held: Held, groups: Sequence[str], now: float) -> None:
        self.held = held
        self.waiting = set(groups)
        self.rejected: dict[str, str] = {}
        self.later: dict[str, str] = {}
        self.refusals: Counter[str] = Counter()
        self.refused: dict[str, int] = {}
        self.first_sent = now
        self.sent = now
        self.attempt = 0
        self.is_out = False
        self.acked = False
        self.losses = 0
        self.alone = False
        self.ignored = 0
        self.is_trial = False

    @property
    def is_over(self) -> bool:
        """Whether every group has had its say."""
        return not self.waiting

    @property
    def what(self) -> str:
        """What its rows become in the account: confirmed by all, or dropped where one will never take them."""
        return f"dropped:rejected-{min(self.rejected.values())}" if self.rejected else "confirmed"


class _Group:
    """How a receiver group answers."""

    __slots__ = ("backoff", "heard", "quiet_since")

    def __init__(self) -> None:
        self.heard = 0.0  # its last receipt, or the first sending that it could have answered
        self.quiet_since = 0.0  # the same, or the last probe
        self.backoff = 1

    def answers(self, now: float) -> None:
        self.heard = self.quiet_since = now
        self.backoff = 1

    def is_asked(self, now: float) -> None:
        self.heard = self.quiet_since = now


class Window:
    """Flights by name, in the order in which they first left."""

    def __init__(self, groups: Sequence[str], *, limit_bytes: int) -> None:
        self._groups = {group: _Group() for group in groups}
        self._limit_bytes = limit_bytes
        self.flights: dict[BatchName, Flight] = {}
        self.keys: set[int] = set()  # what must not be evicted; read from the buffer's thread
        self.bytes = 0
        self.smoothed_seconds: float | None = None
        self.heard = 0.0  # the last receipt of any group on this connection, or its beginning, or the first sending

    def has_room(self, lane: int) -> bool:
        """Tell whether one more batch may leave: each lane may always have one in flight."""
        return self.bytes < self._limit_bytes or not any(name.lane == lane for name in self.flights)

    def add(self, held: Held, now: float, *, is_trial: bool = False) -> Flight:
        """Put a batch in flight."""
        for name, group in self._groups.items():
            if not is_trial and not any(name in flight.waiting for flight in self.news()):
                group.is_asked(now)
        if not is_trial and not any(self.news()):
            self.heard = now
        flight = self.flights[held.name] = Flight(held, tuple(self._groups), now)
        flight.is_trial = is_trial
        self.keys.add(held.key)
        self.bytes += held.size
        return flight

    def meet(self, held: Held) -> bool:
        """A batch was read (again): tell whether it is in flight; the flight goes on under the key that it has now."""
        flight = self.flights.get(held.name)
        if flight is None:
            return False
        self.keys.discard(flight.held.key)
        self.keys.add(held.key)
        flight.held = flight.held._replace(key=held.key)
        return True

    def remove(self, flight: Flight) -> None:
        """End a flight."""
        if self.flights.pop(flight.held.name, None) is not None:
            self.keys.discard(flight.held.key)
            self.bytes -= flight.held.size

    def news(self) -> Iterator[Flight]:
        """Flights whose fate is news: all but trials."""
        return (flight for flight in self.flights.values() if not flight.is_trial)

    # --- receipts --------------------------------------------------------------------------------------------------

    def judge(self, group: str, receipt: Receipt, *, now: float) -> Verdict:
        """Say what a receipt means; the caller acts and removes the flight where it ends."""
        flight = self.flights.get(receipt.name)
        if flight is None or flight.held.digest != receipt.digest or group not in self._groups:
            return Verdict.NOTHING
        self.heard = now
        if group not in flight.waiting:
            return Verdict.NOTHING  # it has had its say, and was sent the batch again for others
        self._groups[group].answers(now)
        flight.ignored = 0
        flight.later.pop(group, None)
        match receipt.outcome:
            case o if o in {COMMITTED, REPEAT}:
                flight.waiting.discard(group)
                if flight.attempt == 1:
                    self._smooth(now - flight.sent)
            case o if o == LATER:
                flight.later[group] = receipt.reason or "unknown"
                flight.sent = now + LATER_SECONDS
                return Verdict.SLOW
            case o if o == REFUSED:
                if flight.refused.get(group) == flight.attempt:
                    return Verdict.NOTHING
                flight.refused[group] = flight.attempt
                flight.refusals[group] += 1
                return Verdict.READ_AGAIN if flight.refusals[group] == 1 else Verdict.PARK
            case o if o == REJECTED:
                return _reject(flight, group, reason=receipt.reason or "unknown")
        return Verdict.DONE if flight.is_over else Verdict.NOTHING

    def _smooth(self, seconds: float) -> None:
        """RFC 6298 section 2, its gain of 1/8, without the variance: our floor is far above it."""
        smoothed = self.smoothed_seconds
        self.smoothed_seconds = seconds if smoothed is None else smoothed + (seconds - smoothed) / 8

    def greet(self, group: str, now: float, *, older_seconds: float = 1.0) -> list[Flight]:
        """A group has said that it is there: give what it was sent before, to send it again."""
        if group not in self._groups:
            return []
        self.heard = now
        self._groups[group].answers(now)
        return [flight for flight in self._of(group) if now - flight.sent >= older_seconds]

    # --- sending again ---------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Flight]:
        """Flights to send again now: to a group that answers all that are overdue, else the oldest, as a probe."""
        due: dict[BatchName, Flight] = {}
        for name, group in self._groups.items():
            flights = self._of(name)
            patience = self._resend_seconds(group)
            if flights and now - group.quiet_since >= patience:
                group.quiet_since = now
                group.backoff = min(2 * group.backoff, 64)
                due[flights[0].held.name] = flights[0]
            elif group.backoff == 1:
                overdue = [flight for flight in flights if now - flight.sent >= patience]
                for flight in overdue:
                    flight.ignored += 1
                due.update((flight.held.name, flight) for flight in overdue)
        return list(due.values())

    def _of(self, group: str) -> list[Flight]:
        return [flight for flight in self.news() if group in flight.waiting]

    def _resend_seconds(self, group: _Group) -> float:
        return min(RESEND_MOST_SECONDS, max(RESEND_SECONDS, 4 * (self.smoothed_seconds or 0)) * group.backoff)

    def ignored(self) -> list[Flight]:
        """Flights that a group never answers, while it answers others: to be parked."""
        return [flight for flight in self.flights.values() if flight.ignored >= IGNORED]

    # --- connections -----------------------------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        """A connection begins: on it nobody was silent yet."""
        self.heard = now
        for group in self._groups.values():
            group.answers(now)

    def lost(self) -> list[Flight]:
        """The connection is gone: give the flights that were lost alone, to be parked."""
        poison = []
        for flight in self.flights.values():
            if flight.is_out:
                flight.losses += 1
                if flight.alone:
                    poison.append(flight)
            flight.is_out = flight.acked = flight.alone = False
        return poison

    def suspects(self) -> list[Flight]:
        """Flights that were out at three losses in a row: each goes alone now."""
        return [flight for flight in self.flights.values() if flight.losses >= SUSPECT_LOSSES]

    # --- who answers -----------------------------------------------------------------------------------------------

    def silences(self, now: float) -> dict[str, float]:
        """For how many seconds each group that is waited for has not been heard."""
        return {name: now - group.heard for name, group in self._groups.items() if self._of(name)}

    def unheard_seconds(self, now: float) -> float:
        """For how long no receipt at all has come on this connection, while some were waited for."""
        return now - self.heard if any(True for _ in self.news()) else 0.0

    def put_off(self) -> dict[str, str]:
        """Groups that ask to be given batches later, with their reason."""
        return {group: reason for flight in self.news() for group, reason in flight.later.items()}


def _reject(flight: Flight, group: str, *, reason: str) -> Verdict:
    """A group will never take the rows; the others still may."""
    if reason == NOT_RELAY:  # it tells of names and settings, not of these bytes, and can be mended
        return Verdict.HOLD_BACK
    flight.waiting.discard(group)
    flight.rejected[group] = reason
    if reason == CONFLICT:
        return Verdict.CONFLICT
    return Verdict.DONE if flight.is_over else Verdict.NOTHING
