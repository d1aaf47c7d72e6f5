"""Who we are on the wire, and what outlives a connection: the window, how far each lane has left, how a flight ends."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from agent.buffer import Buffer, Held
from agent.buffer.rows import Done
from agent.forward.origins import Origin, Origins
from agent.forward.settings import ForwardSettings
from agent.forward.window import Flight, Window
from agent.parking import LOST_ALONE
from wire.names import BatchName
from wire.sparing import Sparing

RETRY_SECONDS: Final = 3600.0  # parked batches are tried at the start, then each hour
NOT_IN_FLIGHT: Final = "not-in-flight"  # mostly the second receipt of a batch that was sent twice
OTHER_DIGEST: Final = "other-digest"
OTHER_GROUP: Final = "other-group"
log = logging.getLogger("edgepost.forward")


class Sender:
    """What the connections of one agent share."""

    def __init__(self, agent: str, site: str, *, settings: ForwardSettings, version: str) -> None:
        self.agent = agent
        self.site = site
        self.settings = settings
        self.version = version
        self.window = Window(settings.confirm, limit_bytes=settings.window_bytes)
        self.origins = Origins(agent, site)
        self.after = [0, 0, 0]  # the key up to which each lane has left
        self.rewinds = 0
        self.queues: tuple[deque[Held], ...] = (deque(), deque(), deque())
        self.trial: Flight | None = None  # a parked batch that is tried again
        self.retry_at = 0.0  # when the next parked batch is tried, monotonic
        self.retry_after = 0  # and the key after which it is looked for
        self.retry_from = 0  # and where this round of them began
        self.health: Callable[[], str] = lambda: ""
        self.watchers: dict[BatchName, asyncio.Queue[tuple[str, int]]] = {}
        self.sent_batches = self.sent_bytes = self.sent_rows = self.resent = self.parked = 0
        self.receipted: Counter[str] = Counter()  # rows by stream, since the start
        self.ignored: Counter[str] = Counter()  # receipts that changed nothing, by reason
        self.last_receipt_ns: int | None = None
        self.no_subscriber_ns: int | None = None
        self.denied: str | None = None
        self.ends = 0  # of flights; with `sent_batches` it tells whether anything moves
        self.wake = asyncio.Event()
        self._buffer: Buffer | None = None
        self._sparing = Sparing()
        self._told: set[str] = set()  # reasons of parking that were logged

    def attach(self, buffer: Buffer) -> None:
        """Take batches from this buffer, and be woken by it."""
        self._buffer = buffer
        buffer.on_committed = self.wake.set
        buffer.on_evicted = lambda keys: self.forget(set(keys))
        buffer.on_rewound = self.rewind

    @property
    def buffer(self) -> Buffer:
        """Where batches come from."""
        assert self._buffer is not None
        return self._buffer

    def tell(self, name: BatchName, step: str) -> None:
        """Tell whoever watches a batch (`edgepost ping`) how far it is."""
        if name in self.watchers:
            self.watchers[name].put_nowait((step, time.time_ns()))

    def ignore(self, reason: str, detail: object = "") -> None:
        """Count a message on one of our topics that changes nothing; strange ones are said, once a minute."""
        self.ignored[reason] += 1
        number = 0 if reason == NOT_IN_FLIGHT else self._sparing.count(reason)
        if number:
            log.warning("on our topic from somebody else: %s %s (%d)", reason, detail, number)

    # --- queues ----------------------------------------------------------------------------------------------------

    def take(self, lane: int, found: list[Held]) -> None:
        """Queue what was read of a lane, but what is in flight, and what must not leave now."""
        self.after[lane] = found[-1].key
        new = [held for held in found if not self.window.meet(held) and self.origins.admits(held)]
        self.queues[lane].extend(new)

    def forget(self, keys: set[int]) -> None:
        """Take evicted batches out of the queues."""
        self._keep(lambda held: held.key not in keys)

    def _keep(self, is_wanted: Callable[[Held], bool]) -> None:
        for queue in self.queues:
            kept = [held for held in queue if is_wanted(held)]
            queue.clear()
            queue.extend(kept)

    def rewind(self) -> None:
        """Batches came back behind what was read: read everything again; what is in flight stays in flight."""
        self.rewinds += 1  # what is being read at this moment began at an old place
        self.after = [0, 0, 0]
        for queue in self.queues:
            queue.clear()
        self.wake.set()

    # --- how a flight ends -----------------------------------------------------------------------------------------

    def remove(self, flight: Flight) -> None:
        """It flies no more; whatever becomes of its batch is told elsewhere."""
        self.window.remove(flight)
        self.ends += 1
        if flight is self.trial:
            self.trial = None
            self.wake.set()

    def end(self, flight: Flight) -> None:
        """Every group has had its say: the buffer may let it go."""
        if flight.what == "confirmed":
            self.receipted[flight.held.stream] += flight.held.rows
        self.remove(flight)
        self.buffer.discard([Done(flight.held, flight.what)])
        if self.origins.prove(flight.held):
            log.info("batches of %s at %s are taken from us", *self.origins.of(flight.held))
            self.rewind()

    def park(self, flight: Flight, reason: str) -> None:
        """Keep a batch, but send it no more until the next hour; what was parked already stays so."""
        was_parked = flight is self.trial
        self.remove(flight)
        if self.origins.is_trial(flight.held):
            self.origins.forget(self.origins.of(flight.held))  # the next one of its origin is tried
            self.rewind()
        if was_parked:
            return
        if reason not in self._told:
            self._told.add(reason)
            log.error("batch %s is parked: %s; more of them are counted, not logged", flight.held.name, reason)
        self.parked += 1
        self.buffer.park(flight.held, reason)

    def hold_back(self, origin: Origin, *, reason: str, remedy: str) -> None:
        """Send nothing of an origin for a while; all of it stays in the buffer."""
        flights = [flight for flight in self.window.flights.values() if self.origins.of(flight.held) == origin]
        known = self.origins.held_back.get(origin)
        key = min((flight.held.key for flight in flights), default=0 if known is None else known.key)
        is_news = self.origins.hold_back(origin, key=key, reason=reason, remedy=remedy, now=time.monotonic())
        for flight in flights:
            self.remove(flight)
        self._keep(lambda held: self.origins.of(held) != origin)
        if is_news:
            log.error("batches of %s at %s are held back: %s; %s", *origin, reason, remedy)

    def hold_back_for(self, flight: Flight, group: str) -> None:
        """A group does not take this origin's batches from us."""
        origin = self.origins.of(flight.held)
        if origin == self.origins.ours:
            remedy = (
                "compare `agent`, `site` and forward.root with the receiver's journal: does a bridge change topics?"
            )
        elif origin.agent == self.agent:
            remedy = (
                f"let a receiver take the site {origin.site}, or set `site: {origin.site}` until they are confirmed"
            )
        else:
            remedy = (
                f"add {self.agent} to the receiver's `relays`, or set `agent: {origin.agent}` until they are confirmed"
            )
        reason = f"{group} does not take them from {self.agent} at {self.site} (not-relay)"
        self.hold_back(origin, reason=reason, remedy=remedy)

    def note_rejection(self, group: str, reason: str) -> None:
        """Log a rejection once for each group and reason; the rows stand in the account."""
        if f"{group} {reason}" not in self._told:
            self._told.add(f"{group} {reason}")
            log.error("%s rejects a batch of ours: %s; more of them are counted, not logged", group, reason)

    def lost(self) -> None:
        """The connection is gone: park what was lost alone, end what was only tried."""
        if self.trial is not None:
            if self.trial.is_out:
                self.retry_at = time.monotonic() + RETRY_SECONDS  # it may have been its doing
                self.retry_from = self.retry_after  # the others come first
            else:
                self.retry_after = self.trial.held.key - 1
            self.remove(self.trial)
        for flight in self.window.lost():
            self.park(flight, LOST_ALONE)
        for flight in [one for one in self.window.flights.values() if one.is_trial]:
            self.remove(flight)
            if not self.origins.lost(flight.held):
                reason = "the connection is lost when they are sent"
                self.hold_back(self.origins.of(flight.held), reason=reason, remedy="look into the broker's log")
            self.rewind()
