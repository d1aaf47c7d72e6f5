"""One connection's life: birth, what was in flight, then new batches; receipts, and the state each minute.

buffer ──read──► lanes ──► window ──publish──► broker
▲ discard, park ◄── verdict ◄── receipts ◄────┘
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from agent.buffer import Buffer, Held
from agent.buffer.rows import Done
from agent.forward.lanes import Lanes
from agent.forward.settings import BROKER, ForwardSettings
from agent.forward.window import Flight, Verdict, Window
from wire import topics
from wire.batch import Batch, Hop, Refused, decode_head, decode_rows, encode_payload
from wire.client import NO_SUBSCRIBERS, Client, Disconnected, NotDelivered, next_message
from wire.names import LANES, BatchName
from wire.receipts import COMMITTED, Receipt, decode_receipts
from wire.render import render_rows
from wire.sparing import Sparing
from wire.state import State, decode_state, encode_state

READ_BYTES: Final = 256 << 10
STATE_SECONDS: Final = 60.0
TICK_SECONDS: Final = 0.5
SLOW_SECONDS: Final = 2.0
NOT_IN_FLIGHT: Final = "not-in-flight"  # mostly the second receipt of a batch that was sent twice
OTHER_DIGEST: Final = "other-digest"
OTHER_GROUP: Final = "other-group"
log = logging.getLogger("edgepost.forward")


class NobodyConfirms(Exception):
    """The broker is reachable, and no receipt came for too long."""


class Sender:
    """Who we are on the wire, and what outlives a connection: window, cursors, counts."""

    def __init__(self, agent: str, site: str, *, settings: ForwardSettings, version: str) -> None:
        self.agent = agent
        self.site = site
        self.settings = settings
        self.version = version
        self.window = Window(settings.confirm, limit_bytes=settings.window_bytes)
        self.after = [0, 0, 0]  # the key up to which each lane has left
        self.queues: tuple[deque[Held], ...] = (deque(), deque(), deque())
        self.health: Callable[[], str] = lambda: ""
        self.watchers: dict[BatchName, asyncio.Queue[tuple[str, int]]] = {}
        self.sent_batches = self.sent_bytes = self.sent_rows = self.resent = self.parked = 0
        self.receipted: Counter[str] = Counter()  # rows by stream, since the start
        self.ignored: Counter[str] = Counter()  # receipts that changed nothing, by reason
        self.sparing = Sparing()
        self.last_receipt_ns: int | None = None
        self.no_subscriber_ns: int | None = None
        self.denied: str | None = None
        self.wake = asyncio.Event()

    def tell(self, name: BatchName, step: str) -> None:
        """Tell whoever watches a batch (`edgepost ping`) how far it is."""
        if name in self.watchers:
            self.watchers[name].put_nowait((step, time.time_ns()))

    def ignore(self, reason: str, detail: object = "") -> None:
        """Count a message on one of our topics that changes nothing; strange ones are said, once a minute."""
        self.ignored[reason] += 1
        number = 0 if reason == NOT_IN_FLIGHT else self.sparing.count(reason)
        if number:
            log.warning("on our topic from somebody else: %s %s (%d)", reason, detail, number)

    def forget(self, keys: set[int]) -> None:
        """Take evicted batches out of the queues."""
        for queue in self.queues:
            kept = [held for held in queue if held.key not in keys]
            queue.clear()
            queue.extend(kept)


class Carry:
    """One connection."""

    def __init__(self, client: Client, sender: Sender, *, buffer: Buffer, connection: int) -> None:
        self._client = client
        self._sender = sender
        self._buffer = buffer
        self._connection = connection
        self._lanes = Lanes()
        self._slow_until = 0.0
        self._state_due = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Carry until the connection is lost.

        Raises:
            Disconnected: it was.
            NotDelivered: the broker refuses what we cannot do without.
        """
        sender = self._sender
        await self._client.hear(topics.down(sender.settings.root, sender.site, sender=sender.agent))
        await self._client.hear(topics.state(sender.settings.root, sender.site, sender=sender.agent))
        await self._publish_state()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                tasks = self._tasks
                tasks.create_task(self._watch_connection(), name="connection")
                tasks.create_task(self._listen(), name="receipts")
                tasks.create_task(self._send_all(), name="batches")
                tasks.create_task(self._repeat_state(), name="state")
        except ExceptionGroup as group:
            lost, bugs = group.split((Disconnected, NotDelivered))
            if bugs is not None or lost is None:
                raise
            raise Disconnected(str(lost.exceptions[0])) from None

    async def _watch_connection(self) -> None:
        await self._client.wait_lost()
        raise Disconnected("the connection was lost")

    # --- sending ---------------------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        sender, window = self._sender, self._sender.window
        for flight in window.suspects():
            flight.alone = True
            self._publish(flight)
            await self._acked(flight)
            flight.alone, flight.losses = False, 0
        for flight in list(window.flights.values()):
            await self._room_at_broker()
            self._publish(flight)
        while True:
            sender.wake.clear()
            for flight in window.due(time.monotonic()):
                await self._room_at_broker()
                self._publish(flight)
            await self._send_new()
            await self._wait()

    async def _wait(self) -> None:
        """Wait for something to do; only what is in flight needs a clock."""
        try:
            async with asyncio.timeout(TICK_SECONDS if self._sender.window.flights else None):
                await self._sender.wake.wait()
        except TimeoutError:
            return

    async def _send_new(self) -> None:
        window = self._sender.window
        while time.monotonic() >= self._slow_until:
            await self._fill()
            heads = [
                queue[0] if queue and window.has_room(lane) else None for lane, queue in enumerate(self._sender.queues)
            ]
            lane = self._lanes.pick([None if held is None else held.size for held in heads])
            if lane is None:
                return
            await self._room_at_broker()
            if not self._sender.queues[lane]:
                continue  # evicted meanwhile
            held = self._sender.queues[lane].popleft()
            self._lanes.sent(lane, held.size, waiting=[one is not None for one in heads])
            self._publish(window.add(held, time.monotonic()))

    async def _fill(self) -> None:
        for lane, queue in enumerate(self._sender.queues):
            if not queue:
                found = await self._buffer.read(lane, after=self._sender.after[lane], limit_bytes=READ_BYTES)
                if found:
                    self._sender.after[lane] = found[-1].key
                    queue.extend(found)

    async def _room_at_broker(self) -> None:
        while self._client.in_flight >= self._client.receive_maximum:
            self._sender.wake.clear()
            await self._sender.wake.wait()

    def _publish(self, flight: Flight) -> None:
        sender, held = self._sender, flight.held
        if flight.held.name not in sender.window.flights:
            return  # its receipt came while we waited for room
        flight.attempt += 1
        flight.sent = time.monotonic()
        flight.acked = False
        payload = self._payload(flight)
        topic = topics.up(sender.settings.root, sender.site, sender=sender.agent, stream=held.stream)
        if not self._client.fits(len(payload)):
            sender.denied = f"the broker takes no packet of {len(payload)} bytes: lower buffer.message_bytes"
            return
        self._client.publish_soon(topic, payload).add_done_callback(lambda done: self._on_puback(flight, done))
        sender.sent_batches += 1
        sender.sent_bytes += len(payload)
        if flight.attempt == 1:
            sender.sent_rows += held.rows
        else:
            sender.resent += 1
        sender.tell(held.name, "sent")

    def _payload(self, flight: Flight) -> bytes:
        held, sender = flight.held, self._sender
        hop = Hop(sender.agent, sender.settings.tier, (), flight.attempt, time.time_ns())
        if sender.settings.encoding == "msgpack":
            return encode_payload(hop, digest=held.digest, head=held.head, body=held.body)
        head = decode_head(held.head)
        rows = decode_rows(Batch(hop, held.digest, held.head, held.body, head))
        lane = LANES[head.lane]
        envelope = {"stream": head.stream, "site": head.site, "agent": head.agent, "epoch": head.epoch.hex()}
        return render_rows(head.columns, rows, envelope={**envelope, "lane": lane, "seq": head.seq})

    def _on_puback(self, flight: Flight, done: asyncio.Future[int]) -> None:
        sender = self._sender
        sender.wake.set()
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, NotDelivered):
            if error.code is not None:
                flight.acked = True  # heard, and refused: no loss of the connection's making
                sender.denied = f"the broker refuses our batches: {error}"
            return
        flight.acked, flight.losses = True, 0
        sender.denied = None
        sender.no_subscriber_ns = time.time_ns() if done.result() == NO_SUBSCRIBERS else None
        sender.tell(flight.held.name, "acked")
        if sender.settings.confirm == (BROKER,) and done.result() == 0:
            self._judge(BROKER, Receipt(flight.held.name, flight.held.digest, COMMITTED))

    async def _acked(self, flight: Flight) -> None:
        while not flight.acked and flight.held.name in self._sender.window.flights:
            self._sender.wake.clear()
            await self._sender.wake.wait()

    # --- receipts --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        sender = self._sender
        own_state = topics.state(sender.settings.root, sender.site, sender=sender.agent)
        while True:
            message = await next_message(self._client)
            payload = message.payload
            try:
                if str(message.topic) == own_state:
                    self._hear_own_state(decode_state(payload))
                else:
                    self._hear_receipts(*decode_receipts(payload))
            except Refused as refused:
                sender.ignore(refused.reason, refused.detail)
            self._client.ack(message)

    def _hear_own_state(self, state: State) -> None:
        """A frozen connection's will may come after our birth, and stays retained: be born again."""
        if not state.online:
            self._state_due.set()

    def _hear_receipts(self, group: str, receipts: list[Receipt]) -> None:
        if group not in self._sender.settings.confirm:
            self._sender.ignore(OTHER_GROUP, group)
            return
        self._sender.last_receipt_ns = time.time_ns()
        if not receipts:  # a receiver that has just started says that it is there
            for flight in self._sender.window.heard(time.monotonic()):
                self._publish(flight)
        for receipt in receipts:
            self._judge(group, receipt)
        self._sender.wake.set()

    def _judge(self, group: str, receipt: Receipt) -> None:
        window = self._sender.window
        flight = window.flights.get(receipt.name)
        if flight is None or flight.held.digest != receipt.digest:
            self._sender.ignore(OTHER_DIGEST if flight else NOT_IN_FLIGHT, receipt.name)
            return
        verdict = window.judge(group, receipt, now=time.monotonic())
        if verdict is Verdict.NOTHING:
            return
        self._sender.tell(receipt.name, f"receipt {group} {receipt.outcome}")
        match verdict:
            case Verdict.DONE:
                self._sender.receipted[flight.held.stream] += flight.held.rows
                self._end(flight, "confirmed")
            case Verdict.SLOW:
                self._slow_until = time.monotonic() + SLOW_SECONDS
            case Verdict.READ_AGAIN:
                self._tasks.create_task(self._read_again(flight), name="read again")
            case Verdict.PARK:
                self.park(flight, "refused twice")
            case Verdict.DROP | Verdict.CONFLICT:
                self._end(flight, f"dropped:rejected-{receipt.reason or 'unknown'}")
                if verdict is Verdict.CONFLICT:
                    log.error("our batch %s met other bytes under its name: a new epoch is drawn", receipt.name)
                    self._tasks.create_task(self._buffer.draw_epoch(), name="draw epoch")

    def _end(self, flight: Flight, what: str) -> None:
        self._sender.window.remove(flight)
        self._buffer.discard([Done(flight.held, what)])

    async def _read_again(self, flight: Flight) -> None:
        fresh = await self._buffer.fetch(flight.held.key)
        if self._sender.window.flights.get(flight.held.name) is not flight:
            return  # another receipt has ended it meanwhile
        if fresh is None:
            self.park(flight, "rotten on disk")
        else:
            flight.held = fresh
            self._publish(flight)

    def park(self, flight: Flight, reason: str) -> None:
        """Keep a batch, but send it no more."""
        log.error("batch %s is parked: %s", flight.held.name, reason)
        self._sender.window.remove(flight)
        self._sender.parked += 1
        self._buffer.park(flight.held, reason)

    # --- state -----------------------------------------------------------------------------------------------------

    async def _repeat_state(self) -> None:
        told: tuple[object, ...] = ()
        while True:
            try:
                async with asyncio.timeout(STATE_SECONDS):
                    await self._state_due.wait()
                self._state_due.clear()
                told = ()
            except TimeoutError:
                pass
            now = (await self._buffer.spans(), self._sender.health())
            if now != told:
                told = now
                await self._publish_state()

    async def _publish_state(self, *, online: bool = True) -> None:
        sender = self._sender
        state = State(
            online=online,
            epoch=self._buffer.epoch,
            connection=self._connection,
            sent_ns=time.time_ns(),
            version=sender.version,
            health=sender.health(),
            spans=await self._buffer.spans(),
            confirmed=self._buffer.confirmed(),
        )
        topic = topics.state(sender.settings.root, sender.site, sender=sender.agent)
        await self._client.publish_acked(topic, encode_state(state), retain=True)

    async def leave(self) -> None:
        """Say goodbye: the last state, offline, by ourselves."""
        try:
            await self._publish_state(online=False)
        except NotDelivered as error:
            log.warning("the last state was not delivered: %s", error)
