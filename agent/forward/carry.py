"""One connection's life: birth, what was in flight, then new batches; receipts, and the state each minute.

buffer ──read──► lanes ──► window ──publish──► broker
▲ discard, park ◄── verdict ◄── receipts ◄────┘
"""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Final

from agent.buffer import Buffer, Held, NotRead
from agent.forward.lanes import Lanes
from agent.forward.publish import Publisher
from agent.forward.sender import NOT_IN_FLIGHT, OTHER_DIGEST, OTHER_GROUP, Sender
from agent.forward.trials import try_origins, try_parked
from agent.forward.window import Flight, Verdict
from agent.parking import REFUSED, UNANSWERED
from wire import topics
from wire.client import PUBACK_SECONDS, Client, Disconnected, NotDelivered, next_message
from wire.decode import Refused
from wire.receipts import REJECTED, Receipt, decode_receipts
from wire.state import State, decode_state, encode_state

READ_BYTES: Final = 256 << 10
STATE_SECONDS: Final = 60.0
TICK_SECONDS: Final = 0.5
SLOW_SECONDS: Final = 2.0
GREETING_SECONDS: Final = 5.0
LEAVE_SECONDS: Final = 2.0  # a stop is not held up by a broker that does not answer
log = logging.getLogger("edgepost.forward")


class NobodyConfirms(Exception):
    """The broker is reachable, and no receipt came for too long."""


class Carry:
    """One connection."""

    def __init__(self, client: Client, sender: Sender, *, buffer: Buffer, will: State) -> None:
        self._client = client
        self._sender = sender
        self._buffer = buffer
        self._publisher = Publisher(client, sender, judge=self._judge)
        self._will = will  # its epoch and number name this connection, whatever epoch is drawn while it lasts
        self._lanes = Lanes()
        self._slow_until = 0.0
        self._state_due = asyncio.Event()
        self._asked: dict[str, float] = {}  # group → until when its greeting is an answer to our state
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Carry until the connection is lost.

        Raises:
            Disconnected: it was.
            NotDelivered: the broker refuses what we cannot do without.
        """
        sender = self._sender
        sender.window.connected(time.monotonic())
        await self._publisher.hear(sender.site)
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
        sender, window, publisher = self._sender, self._sender.window, self._publisher
        for flight in window.suspects():
            await publisher.publish_alone(flight)
        for flight in [one for one in window.flights.values() if not one.acked]:
            await publisher.publish(flight)
        looked_at = 0.0
        while True:
            sender.wake.clear()
            if time.monotonic() - looked_at >= TICK_SECONDS / 2:  # not at each receipt: thousands may be in flight
                looked_at = time.monotonic()
                await self._send_again(looked_at)
            await self._send_new()
            await try_origins(sender, publisher)
            await try_parked(sender, publisher, limit_bytes=self._client.maximum_packet_bytes)
            await self._wait()

    async def _send_again(self, now: float) -> None:
        window = self._sender.window
        for flight in window.due(now):
            await self._publisher.publish(flight)
        for flight in window.ignored():
            self._sender.park(flight, UNANSWERED)

    async def _wait(self) -> None:
        """Wait for something to do; only what is in flight, and what is to be tried again, needs a clock."""
        sender = self._sender
        next_at = min(sender.retry_at, sender.origins.next_at or sender.retry_at)
        is_busy = bool(sender.window.flights) or time.monotonic() < self._slow_until
        patience = TICK_SECONDS if is_busy else max(TICK_SECONDS, next_at - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                await sender.wake.wait()
        except TimeoutError:
            return

    async def _send_new(self) -> None:
        window, queues = self._sender.window, self._sender.queues
        while time.monotonic() >= self._slow_until:
            await self._fill()
            heads = [queue[0] if queue and window.has_room(lane) else None for lane, queue in enumerate(queues)]
            lane = self._lanes.pick([None if held is None else held.size for held in heads])
            if lane is None:
                return
            await self._publisher.room()
            if not queues[lane]:
                continue  # evicted meanwhile
            held = queues[lane].popleft()
            self._lanes.sent(lane, held.size, waiting=[one is not None for one in heads])
            is_trial = self._sender.origins.is_trial(held)
            await self._publisher.publish(window.add(held, time.monotonic(), is_trial=is_trial))

    async def _fill(self) -> None:
        sender = self._sender
        for lane, queue in enumerate(sender.queues):
            while not queue:
                rewinds = sender.rewinds
                found = await self._buffer.read(lane, after=sender.after[lane], limit_bytes=READ_BYTES)
                if not found:
                    break
                if rewinds == sender.rewinds:
                    sender.take(lane, found)

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
            now = time.monotonic()
            for flight in self._sender.window.greet(group, now):
                self._publisher.send(flight)
            if now > self._asked.pop(group, 0.0):  # else it has only heard our state, which it greets as well
                self._sender.origins.greeted(now)
        for receipt in receipts:
            self._judge(group, receipt)
        self._sender.wake.set()

    def _judge(self, group: str, receipt: Receipt) -> None:
        sender = self._sender
        flight = sender.window.flights.get(receipt.name)
        if flight is None or flight.held.digest != receipt.digest:
            sender.ignore(OTHER_DIGEST if flight else NOT_IN_FLIGHT, receipt.name)
            return
        verdict = sender.window.judge(group, receipt, now=time.monotonic())
        sender.tell(receipt.name, f"receipt {group} {receipt.outcome}")
        if receipt.outcome == REJECTED:
            sender.note_rejection(group, receipt.reason or "unknown")
        if verdict is Verdict.CONFLICT:
            self._tasks.create_task(self._draw_epoch(), name="draw epoch")
        match verdict:
            case Verdict.DONE | Verdict.CONFLICT if flight.is_over:
                sender.end(flight)
            case Verdict.SLOW:
                self._slow_until = time.monotonic() + SLOW_SECONDS
            case Verdict.READ_AGAIN:
                self._tasks.create_task(self._read_again(flight, group), name="read again")
            case Verdict.PARK:
                sender.park(flight, REFUSED)
            case Verdict.HOLD_BACK:
                sender.hold_back_for(flight, group)

    async def _draw_epoch(self) -> None:
        await self._buffer.draw_epoch()
        self._state_due.set()  # until it is told, the center takes the gaps of a new epoch for missing

    async def _read_again(self, flight: Flight, group: str) -> None:
        """The bytes arrived broken: are they whole on the disk? While it cannot be read, nobody knows."""
        found = await self._buffer.fetch(flight.held.key)
        if self._sender.window.flights.get(flight.held.name) is not flight:
            return
        if isinstance(found, Held):
            flight.held = found
            self._publisher.send(flight)
        elif found is NotRead.FAULT:
            flight.refusals[group] = 0  # it stays in flight, and is sent again in its time
        else:
            self._sender.remove(flight)  # evicted, or rotten: the buffer has said so

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

    async def _publish_state(self, *, online: bool = True, patience: float = PUBACK_SECONDS) -> None:
        sender = self._sender
        state = State(
            online=online,
            epoch=self._will.epoch,
            connection=self._will.connection,
            current=self._buffer.epoch,
            sent_ns=time.time_ns(),
            version=sender.version,
            health=sender.health(),
            spans=await self._buffer.spans(),
            confirmed=self._buffer.confirmed(),
        )
        topic = topics.state(sender.settings.root, sender.site, sender=sender.agent)
        payload = encode_state(state)
        while not self._client.fits(len(payload)) and state.spans:
            state = replace(state, spans=state.spans[(len(state.spans) + 1) // 2 :])  # the newest are told
            payload = encode_state(state)
        self._asked = dict.fromkeys(sender.settings.confirm, time.monotonic() + GREETING_SECONDS)
        await self._client.publish_acked(topic, payload, retain=True, timeout=patience)

    async def leave(self) -> None:
        """The agent stops: say goodbye ourselves, offline; the broker's will is for those who cannot."""
        if self._client.is_lost:
            return
        try:
            await self._publish_state(online=False, patience=LEAVE_SECONDS)
        except NotDelivered as error:
            log.warning("the last state was not delivered: %s", error)
