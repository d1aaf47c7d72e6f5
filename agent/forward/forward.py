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
from agent.forward.carry import Carry, NobodyConfirms
from agent.forward.sender import Sender
from agent.forward.settings import ForwardSettings
from wire import topics
from wire.client import MQTT_5, MQTT_311, Broker, ConnectFailed, Disconnected, NotDelivered, connect
from wire.names import BatchName
from wire.state import State, encode_state

BACKOFF_SECONDS: Final = (0.5, 30.0)
NOT_DELIVERING_SECONDS: Final = 60.0
STALLED_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 1.0
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
        self._stalled_seconds = 0.0  # connected, batches wait, none is in flight, and none leaves
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
        self.sender.attach(buffer)

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
                carry = Carry(client, sender, buffer=buffer, will=will)
                self._broker, self._since_ns, self._carry = broker, time.time_ns(), carry
                self._errors.pop(broker.url, None)
                log.info("connected to %s, MQTT %s", broker.url, "5" if protocol == MQTT_5 else "3.1.1")
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._watch(), name="delivering")
                        tasks.create_task(carry.run(), name="carry")
                except ExceptionGroup as group:
                    ended, bugs = group.split((Disconnected, NotDelivered, NobodyConfirms))
                    if bugs is not None or ended is None:
                        raise
                    raise ended.exceptions[0] from None
                except asyncio.CancelledError:  # the agent stops; a lost connection comes as a group
                    await asyncio.shield(carry.leave())
                    raise
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
        self._stalled_seconds = 0.0
        if carry is not None:
            self.sender.lost()

    async def _watch(self) -> None:
        """Once a second see whether anything moves; with more than one broker, leave one on which no receipt comes."""
        moves = -1
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            sender, before = self.sender, moves
            moves = sender.sent_batches + sender.ends
            is_idle = moves == before and not sender.window.flights and not sender.origins.held_back
            waits = is_idle and self._buffer is not None and self._buffer.sendable_batches > 0
            self._stalled_seconds = self._stalled_seconds + WATCH_SECONDS if waits else 0.0
            unheard = sender.window.unheard_seconds(time.monotonic())
            if len(self._settings.brokers) > 1 and unheard > NOT_DELIVERING_SECONDS:
                raise NobodyConfirms("reachable, but nobody confirms: trying the next broker")

    async def finish(self, grace_seconds: float) -> None:
        """Wait until everything held is confirmed, as long as a broker is connected and the grace time lasts."""
        assert self._buffer is not None
        until = time.monotonic() + grace_seconds
        self.sender.wake.set()
        while time.monotonic() < until and self.is_connected:
            held = any(
                [await self._buffer.read(lane, after=self.sender.after[lane], limit_bytes=1) for lane in range(3)]
            )
            if not held and not any(self.sender.window.news()) and not any(self.sender.queues):
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
        oldest = min((flight.first_sent for flight in window.news()), default=None)
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
            "put_off": window.put_off(),
            "stalled_seconds": self._stalled_seconds,
            "held_back": sender.origins.facts(),
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
        ours = sender.origins.held_back.get(sender.origins.ours)
        if ours is not None:
            return "refused", ours.reason, ours.remedy
        if self._stalled_seconds >= STALLED_SECONDS:
            text = f"connected, batches wait, and none has left for {self._stalled_seconds:.0f} s"
            return "stalled", text, "keep `edgepost status --json` and the journal for a report; then restart edgepost"
        put_off = sender.window.put_off()
        if put_off:
            groups = "; ".join(f"{group} answers later ({reason})" for group, reason in sorted(put_off.items()))
            return "not delivering", f"broker reachable, but {groups}", _remedy_of(set(put_off.values()))
        return self._judge_silence()

    def _judge_silence(self) -> tuple[str, str | None, str | None]:
        """Name the groups that are waited for and have not been heard for longer than they usually take."""
        window = self.sender.window
        patience = 4 * (window.smoothed_seconds or 1) + 10
        silent = [group for group, seconds in window.silences(time.monotonic()).items() if seconds > patience]
        if not silent:
            return "connected", None, None
        who = "nobody confirms" if len(silent) == len(self._settings.confirm) else "not every group confirms"
        hint = " (the broker says: no subscriber)" if self.sender.no_subscriber_ns is not None else ""
        text = f"broker reachable, {who}{hint}: no receipt from {', '.join(silent)}"
        return "not delivering", text, "start the receiver: `systemctl status edgepost-center` at the center"


def _remedy_of(reasons: set[str]) -> str:
    """What to do where a receiver asks to be given batches later."""
    if "disk" in reasons:
        return "at the receiver: `df -h` and `journalctl -u edgepost-center`; its disk is full or fails"
    return "read why in the receiver's journal: `journalctl -u edgepost-center`"


def _backoff(failures: int) -> float:
    """Doubling, jittered by half, so that a thousand agents do not come back together."""
    least, most = BACKOFF_SECONDS
    return random.uniform(0.5, 1.0) * min(most, least * 2.0 ** min(failures, 10))  # noqa: S311 - jitter, no secret
