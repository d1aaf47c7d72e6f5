"""Whose batches these are, and whether the next hop takes them from us. Pure: times are given, nothing is awaited.

A batch leaves under the site in its own head, for that is whose it is; the topic's sender are we. Where `agent` or `site`
was changed while rows waited, the buffer holds batches of an origin that is not ours any more, and only the receiver
knows whether it takes them (`relays`). So one of them is tried, and the others wait until it is confirmed:

    not ours ──first──► trial ──confirmed──► proved: the others are read again, and leave like ours
               └─others─► passed over          └─not-relay, denied, no answer──► held back, tried again later

An origin is held back whole: nothing of it is sent, nothing of it ends. Ours too, if a receiver says `not-relay` to it.
"""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.buffer.rows import Held
from wire.batch import Refused, decode_head
from wire.names import BatchName

TRY_AGAIN_SECONDS: Final = 60.0  # then twice as long each time
TRY_AGAIN_MOST_SECONDS: Final = 3600.0
LOSSES: Final = 3  # connections lost with the trial: it is not tried with the next one
_EPOCHS: Final = 4096  # remembered; an epoch is an opening of the store


class Origin(NamedTuple):
    """Who made a batch, and where."""

    agent: str
    site: str


@dataclass(slots=True)
class HeldBack:
    """Why nothing of an origin is sent.

    Attributes:
        key: of a batch of it, to be tried next.
        since_ns: when it was first held back, by our clock.
        again_at: when it is tried again, monotonic.
        pause: seconds until then, the last time.
    """

    key: int
    reason: str
    remedy: str
    since_ns: int
    again_at: float
    pause: float


class Origins:
    """What is known of each origin since the start."""

    def __init__(self, agent: str, site: str) -> None:
        self.ours = Origin(agent, site)
        self.held_back: dict[Origin, HeldBack] = {}
        self._proved = {self.ours}
        self._trials: dict[Origin, BatchName] = {}
        self._losses: dict[Origin, int] = {}
        self._by_epoch: dict[bytes, Origin] = {}

    def of(self, held: Held) -> Origin:
        """Whose a batch is; all batches of an epoch are of one origin."""
        origin = self._by_epoch.get(held.name.epoch)
        if origin is None:
            try:
                head = decode_head(held.head)
            except Refused:  # not of our making: let the receiver say what it is
                return self.ours
            if len(self._by_epoch) >= _EPOCHS:
                self._by_epoch.clear()
            origin = self._by_epoch[held.name.epoch] = Origin(head.agent, head.site)
        return origin

    def admits(self, held: Held) -> bool:
        """Tell whether a batch may be queued: it is of a proved origin, or the first of one that is to be tried."""
        origin = self.of(held)
        if origin in self.held_back:
            return False
        return origin in self._proved or self._trials.setdefault(origin, held.name) == held.name

    def is_trial(self, held: Held) -> bool:
        """Tell whether a batch is the one by which its origin is tried."""
        return self._trials.get(self.of(held)) == held.name

    @property
    def on_trial(self) -> list[BatchName]:
        """The batches by which origins are tried now."""
        return list(self._trials.values())

    def prove(self, held: Held) -> bool:
        """A batch was taken; tell whether that lets others of its origin leave, which have to be read again."""
        if not self.is_trial(held):
            return False
        origin = self.of(held)
        del self._trials[origin]
        self._losses.pop(origin, None)
        self.held_back.pop(origin, None)
        self._proved.add(origin)
        return True

    def hold_back(self, origin: Origin, *, key: int, reason: str, remedy: str, now: float) -> bool:
        """Send nothing of an origin until it is tried again; tell whether that is news."""
        known = self.held_back.get(origin)
        pause = TRY_AGAIN_SECONDS if known is None else min(TRY_AGAIN_MOST_SECONDS, 2 * known.pause)
        since_ns = time.time_ns() if known is None else known.since_ns
        self.held_back[origin] = HeldBack(key, reason, remedy, since_ns, now + pause, pause)
        self._proved.discard(origin)
        self._trials.pop(origin, None)
        self._losses.pop(origin, None)
        return known is None or known.reason != reason

    def due(self, now: float) -> list[Origin]:
        """Origins to be tried again now."""
        return [
            origin for origin, held in self.held_back.items() if held.again_at <= now and origin not in self._trials
        ]

    def try_again(self, origin: Origin, held: Held) -> None:
        """One of its batches is sent; the others are still held back."""
        self._trials[origin] = held.name

    def forget(self, origin: Origin) -> None:
        """The batch to try is gone: the next one that is read is tried."""
        self.held_back.pop(origin, None)
        self._trials.pop(origin, None)

    def greeted(self, now: float) -> None:
        """A receiver has just started, perhaps with other settings: try at once."""
        for held in self.held_back.values():
            held.again_at = now

    def lost(self, held: Held) -> bool:
        """The connection went while a trial was out; tell whether it may be tried with the next one."""
        origin = self.of(held)
        self._trials.pop(origin, None)
        self._losses[origin] = self._losses.get(origin, 0) + 1
        return self._losses[origin] < LOSSES

    def facts(self) -> list[dict[str, str | int]]:
        """What status shows of origins that are not ours and held back: since when, why, and what to do."""
        return [
            {**origin._asdict(), "since_ns": held.since_ns, "reason": held.reason, "remedy": held.remedy}
            for origin, held in self.held_back.items()
            if origin != self.ours
        ]

    @property
    def next_at(self) -> float | None:
        """When something is to be tried again, monotonic."""
        return min((held.again_at for held in self.held_back.values()), default=None)
