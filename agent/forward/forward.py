"""Brokers in order, back-off, and what status shows of forwarding."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from agent.buffer import Buffer
from agent.forward.carry import Carry, NobodyConfirms, Sender
from agent.forward.settings import ForwardSettings
from wire import topics
from wire.client import MQTT_5, MQTT_311, Broker, ConnectFailed, Disconnected, NotDelivered, connect
from wire.names import BatchName
from wire.state import State, encode_state

BACKOFF_SECONDS: Final = (0.5, 30.0)
NOT_DELIVERING_SECONDS: Final = 60.0
DONE_POLL_SECONDS: Final = 0.05
log = logging.getLogger("edgepost.forward")


class Forward:
    """One per agent. `run` carries for ever; `finish` is the grace time of a stop."""

    def __init__(self, *, agent: str, site: str, settings: ForwardSettings, version: str) -> None:
        self.sender = Sender(agent, site, settings=settings, version=version)
        self._settings = settings
        self._buffer: Buffer | None = None
        self._dialect: dict[str, int] = {}  # by broker: 3.1.1 where 5 was not understood
        self._errors: dict[str, tuple[str, str]] = {}
        self._carry: Carry | None = None
        self._broker: Broker | None = None
        self._since_ns: int | None = None
        self._connections = 0

    @property
    def is_connected(self) -> bool:
        """Whether a broker is connected right now."""
        return self._carry is not None

    @property
    def in_flight(self) -> set[int]:
        """Keys that must not be evicted."""
        return self.sender.window.keys

    def attach(self, buffer: Buffer) -> None:
        """Take batches from this buffer, and be woken by it."""
        self._buffer = buffer
        buffer.on_committed = self.sender.wake.set
        buffer.on_evicted = lambda keys: self.sender.forget(set(keys))

    async def run(self) -> None:
        """Connect and carry, one broker after the other, until cancelled."""
        failures = 0
        while True:
            for broker in self._settings.brokers:
                started = time.monotonic()
                try:
                    await self._carry_on(broker)
                except ConnectFailed as failed:
                    self._fail(broker, str(failed), failed.remedy)
                except (Disconnected, NotDelivered, NobodyConfirms) as lost:
                    self._fail(broker, str(lost), "nothing if it comes back soon; else look into the broker's log")
                failures = 0 if time.monotonic() - started > BACKOFF_SECONDS[1] else failures + 1
                await asyncio.sleep(_backoff(failures))

    def _fail(self, broker: Broker, reason: str, remedy: str) -> None:
        if self._errors.get(broker.url) != (reason, remedy):
            log.warning("broker %s: %s; %s", broker.url, reason, remedy)
        self._errors[broker.url] = (reason, remedy)

    async def _carry_on(self, broker: Broker) -> None:
        assert self._buffer is not None
        sender, buffer = self.sender, self._buffer
        self._connections += 1
        will = State(online=False, epoch=buffer.epoch, connection=self._connections)
        will_topic = topics.state(self._settings.root, sender.site, sender=sender.agent)
        protocol = self._dialect.get(broker.url, MQTT_5)
        client_id = f"{sender.agent}-{secrets.token_hex(3)}"
        try:
            async with connect(
                broker, client_id=client_id, will=(will_topic, encode_state(will)), protocol=protocol
            ) as client:
                carry = Carry(client, sender, buffer=buffer, connection=self._connections)
                self._broker, self._since_ns, self._carry = broker, time.time_ns(), carry
                self._errors.pop(broker.url, None)
                log.info("connected to %s, MQTT %s", broker.url, "5" if protocol == MQTT_5 else "3.1.1")
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._watch_receipts(), name="delivering")
                        tasks.create_task(carry.run(), name="carry")
                except ExceptionGroup as group:
                    ended, bugs = group.split((Disconnected, NotDelivered, NobodyConfirms))
                    if bugs is not None or ended is None:
                        raise
                    raise ended.exceptions[0] from None
                finally:
                    if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                        await asyncio.shield(carry.leave())
        except ConnectFailed as failed:
            if protocol == MQTT_311:
                self._dialect.pop(broker.url, None)  # it may have been only slow, or be another broker by now
            elif failed.is_old_broker:
                self._dialect[broker.url] = MQTT_311
                await self._carry_on(broker)
                return
            raise
        finally:
            self._end_connection()

    def _end_connection(self) -> None:
        carry, self._carry, self._since_ns = self._carry, None, None
        if carry is None:
            return
        for flight in self.sender.window.lost():
            carry.park(flight, "lost alone")

    async def _watch_receipts(self) -> None:
        """With more than one broker, leave one behind which nobody confirms."""
        while True:
            await asyncio.sleep(NOT_DELIVERING_SECONDS / 6)
            if len(self._settings.brokers) > 1 and self._unreceipted_seconds() > NOT_DELIVERING_SECONDS:
                raise NobodyConfirms("reachable, but nobody confirms: trying the next broker")

    def _unreceipted_seconds(self) -> float:
        """How long the oldest flight has been waiting on this connection."""
        oldest = min((flight.first_sent for flight in self.sender.window.flights.values()), default=None)
        if oldest is None or self._since_ns is None:
            return 0.0
        return min(time.monotonic() - oldest, (time.time_ns() - self._since_ns) / 1e9)

    async def finish(self, grace_seconds: float) -> None:
        """Wait until everything held is confirmed, as long as a broker is connected and the grace time lasts."""
        assert self._buffer is not None
        until = time.monotonic() + grace_seconds
        self.sender.wake.set()
        while time.monotonic() < until and self.is_connected:
            held = any(
                [await self._buffer.read(lane, after=self.sender.after[lane], limit_bytes=1) for lane in range(3)]
            )
            if not held and not self.sender.window.flights and not any(self.sender.queues):
                return
            await asyncio.sleep(DONE_POLL_SECONDS)

    @contextmanager
    def watch(self, name: BatchName) -> Iterator["asyncio.Queue[tuple[str, int]]"]:
        """Queue each step of one batch from now on: (`sent`, `acked` or `receipt GROUP OUTCOME`, ns UTC)."""
        steps = self.sender.watchers[name] = asyncio.Queue()
        try:
            yield steps
        finally:
            del self.sender.watchers[name]

    # --- facts -----------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Everything status shows of forwarding."""
        sender, window = self.sender, self.sender.window
        state, problem, remedy = self._judge()
        flights = window.flights.values()
        oldest = min((flight.first_sent for flight in flights), default=None)
        protocol = None if self._broker is None else self._dialect.get(self._broker.url, MQTT_5)
        return {
            "state": state,
            "problem": problem,
            "remedy": remedy,
            "broker": self._broker.url if self._broker is not None and self.is_connected else None,
            "brokers": [self._broker_facts(broker) for broker in self._settings.brokers],
            "protocol": None if protocol is None else ("5" if protocol == MQTT_5 else "3.1.1"),
            "since_ns": self._since_ns,
            "connections": self._connections,
            "confirm": list(self._settings.confirm),
            "in_flight_batches": len(window.flights),
            "in_flight_bytes": window.bytes,
            "unreceipted_batches": sum(flight.acked for flight in flights),
            "oldest_unreceipted_seconds": None if oldest is None else time.monotonic() - oldest,
            "smoothed_receipt_ms": None if window.smoothed_seconds is None else window.smoothed_seconds * 1000,
            "last_receipt_ns": sender.last_receipt_ns,
            "sent_batches": sender.sent_batches,
            "sent_bytes": sender.sent_bytes,
            "sent_rows": sender.sent_rows,
            "receipted_rows": dict(sender.receipted),
            "ignored_receipts": dict(sender.ignored),
            "resent": sender.resent,
            "parked": sender.parked,
        }

    def _broker_facts(self, broker: Broker) -> dict[str, Any]:
        connected = self.is_connected and broker is self._broker
        error = self._errors.get(broker.url)
        return {"url": broker.url, "state": "connected" if connected else "not connected", "error": error and error[0]}

    def _judge(self) -> tuple[str, str | None, str | None]:
        sender = self.sender
        if not self.is_connected:
            reason, remedy = next(iter(self._errors.values()), ("no connection yet", "wait a few seconds"))
            return "not connected", reason, remedy
        if sender.denied is not None:
            return "refused", sender.denied, "compare the broker's ACL with config/mosquitto/acl"
        if self._unreceipted_seconds() > 4 * (sender.window.smoothed_seconds or 1) + 10:
            groups = ", ".join(self._settings.confirm)
            hint = " (the broker says: no subscriber)" if sender.no_subscriber_ns is not None else ""
            text = f"broker reachable, nobody confirms{hint}: no receipt from {groups}"
            return "not delivering", text, "start the receiver: `systemctl status edgepost-center` at the center"
        return "connected", None, None


def _backoff(failures: int) -> float:
    """Doubling, jittered by half, so that a thousand agents do not come back together."""
    least, most = BACKOFF_SECONDS
    return random.uniform(0.5, 1.0) * min(most, least * 2.0 ** min(failures, 10))  # noqa: S311 - jitter, no secret
