"""One MQTT connection: reason codes are errors, acknowledgements are ours.

aiomqtt 2.5 throws reason codes away: a publish denied by an ACL returns as if all were well. It also acknowledges a
message when it is handed over, not when it is safe. The thin subclass here changes these two, and honours Receive
Maximum and Maximum Packet Size, which paho ignores (MQTT 5, sections 3.2.2.3.3 and 3.2.2.3.6).

    publish_soon ──► held back ──► in flight (≤ Receive Maximum) ──PUBACK──► its reason code
    next_message ◄── waiting (≤ 8 MiB, then nothing is read) ◄── broker         ack ──► PUBACK

A connection is used once. Whatever ends it ends every publish, subscription and wait on it.
"""

import asyncio
import logging
import math
from collections import deque
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wire.chunks import Chunks
from wire.dial import Broker, Socket

NO_SUBSCRIBERS: Final = 0x10
PACKET_TOO_LARGE: Final = 0x95
MQTT_5: Final = 5
MQTT_311: Final = 4
PUBACK_SECONDS: Final = 20.0
KEEPALIVE_SECONDS: Final = 30
LEAVE_SECONDS: Final = 2.0
INCOMING_BYTES: Final = 2 << 20  # what is longer is cut: whoever decodes it finds it over the limit of 1 MiB
WAITING_BYTES: Final = 8 << 20  # beyond it nothing more is read from the socket
HELD_BACK: Final = 10_000  # publishes that wait for Receive Maximum; beyond it they fail
_PACKETS_A_TURN: Final = 64
_PACKET_OVERHEAD: Final = 256  # fixed header, topic and properties of a PUBLISH

_quiet = logging.getLogger("edgepost.mqtt.paho")
_quiet.setLevel(logging.CRITICAL)  # what it would say is in our exceptions


class NotDelivered(Exception):
    """A publish that the broker did not take. `code` is the reason code, None for a time-out or a lost connection."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class Disconnected(Exception):
    """The connection ended."""


Message = aiomqtt.Message


class _Publish(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    done: asyncio.Future[int]


class Client(aiomqtt.Client):
    """A connection whose PUBACKs carry their reason and whose messages we acknowledge ourselves."""

    def __init__(self, broker: Broker, sock: Socket, *, protocol: int, **options: Any) -> None:
        # No properties in our CONNECT: amqtt would take them for a client id and wait for the rest of it, without a CONNACK.
        super().__init__(
            broker.host,
            broker.port,
            username=broker.user,
            password=None if broker.password is None else broker.password.reveal(),
            protocol=aiomqtt.ProtocolVersion(protocol),
            clean_session=True if protocol == MQTT_311 else None,
            clean_start=True if protocol == MQTT_5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=KEEPALIVE_SECONDS,
            max_inflight_messages=0,  # ours is the limit; paho walks all messages at each PUBACK under its own
            logger=_quiet,
            **options,
        )
        self.receive_maximum = 65_535
        self.maximum_packet_bytes: int | None = None
        self._socket = Chunks(sock)
        self._pubacks: dict[int, tuple[asyncio.Future[int], float]] = {}
        self._held_back: deque[_Publish] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._disconnected.add_done_callback(lambda _: self._lose())
        self._client.disable_logger()
        self._client.manual_ack_set(True)
        self._client._create_socket = lambda: self._socket  # type: ignore[method-assign] # noqa: SLF001 - ours is connected

    # --- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Say CONNECT on the socket and wait for the CONNACK.

        Raises:
            aiomqtt.MqttError: refused, or the connection ended.
            TimeoutError: no CONNACK.
        """
        try:
            self._client_connect()  # does not block: the socket is connected
            async with asyncio.timeout(self.timeout):
                await self._connected
        finally:
            if not self._connected.done() or self._connected.cancelled() or self._connected.exception():
                self.drop()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Send what is queued and a DISCONNECT; the broker has two seconds to take it."""
        try:
            if not self.is_lost:
                self._client.disconnect()
                await asyncio.wait([self._disconnected], timeout=LEAVE_SECONDS)
        finally:
            self.drop()

    def drop(self, reason: str = "we have cut it") -> None:
        """Cut the connection without a DISCONNECT, so that the broker publishes our will."""
        if not self._disconnected.done():
            self._disconnected.set_exception(aiomqtt.MqttError(reason))
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to close without DISCONNECT
        self._lose()

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._disconnected.done()

    @property
    def broken(self) -> OSError | None:
        """The error of the socket that ended the connection, if one did."""
        return self._socket.error

    @property
    def why_lost(self) -> str:
        """Why the connection has ended, in words; empty while it has not."""
        if not self._disconnected.done():
            return ""
        error = self._socket.error or self._disconnected.exception()
        return "the connection was lost" if error is None else f"the connection was lost: {error}"

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""
        await asyncio.wait([self._disconnected])

    def _lose(self) -> None:
        """End whatever waits on this connection."""
        self._disconnected.exception()  # retrieved: it is told by `why_lost`
        reason = f"{self.why_lost}, before the PUBACK"
        unsent = [publish.done for publish in self._held_back]
        self._held_back.clear()
        pubacks, self._pubacks = self._pubacks, {}
        for future in [*(future for future, _ in pubacks.values()), *unsent]:
            _fail(future, NotDelivered(reason))
        for subscription in self._pending_subscribes.values():
            if not subscription.done():
                subscription.set_exception(aiomqtt.MqttError(self.why_lost))

    # --- out -------------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Publishes without their PUBACK."""
        return len(self._pubacks) + len(self._held_back)

    def fits(self, payload_bytes: int) -> bool:
        """Tell whether the broker takes a packet of that size."""
        return self.maximum_packet_bytes is None or payload_bytes + _PACKET_OVERHEAD <= self.maximum_packet_bytes

    def publish_soon(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[int]:
        """Send one message at QoS 1, or hold it back while Receive Maximum are in flight.

        The future gives the PUBACK's reason code: 0, or 0x10 for no subscriber.

        Raises (in the future):
            NotDelivered: refused by the broker, too large for it, or the connection was lost first.
        """
        done: asyncio.Future[int] = self._loop.create_future()
        if self.is_lost:
            _fail(done, NotDelivered(self.why_lost))
        elif not self.fits(len(payload)):
            reason = f"{len(payload)} bytes are more than the broker's Maximum Packet Size"
            _fail(done, NotDelivered(reason, PACKET_TOO_LARGE))
        elif len(self._pubacks) < self.receive_maximum:
            self._send(_Publish(topic, payload, retain, done))
        elif len(self._held_back) < HELD_BACK:
            self._held_back.append(_Publish(topic, payload, retain, done))
        else:
            _fail(done, NotDelivered(f"{HELD_BACK} messages wait already for the broker's Receive Maximum"))
        return done

    async def publish_acked(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = PUBACK_SECONDS
    ) -> int:
        """Send one message and wait for its PUBACK; a time-out ends the connection (paho would send again unasked).

        Raises:
            NotDelivered: refused, timed out, or the connection was lost.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self.publish_soon(topic, payload, retain=retain)
        except TimeoutError:
            self.drop(f"no PUBACK within {timeout:g} s")
            raise NotDelivered(f"no PUBACK within {timeout:g} s") from None

    def _send(self, publish: _Publish) -> None:
        sent = self._client.publish(publish.topic, publish.payload, qos=1, retain=publish.retain)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            _fail(publish.done, NotDelivered(paho.error_string(sent.rc)))
        else:
            self._pubacks[sent.mid] = (publish.done, self._loop.time())

    def _on_publish(  # noqa: PLR0917 - paho calls it so
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        future, _ = self._pubacks.pop(mid, (None, 0.0))
        if self._held_back and len(self._pubacks) < self.receive_maximum:
            self._send(self._held_back.popleft())
        if future is None or future.done():
            return
        code = reason_code.value
        if code >= 0x80:
            _fail(future, NotDelivered(f"refused by the broker: {reason_code}", code))
        else:
            future.set_result(code)

    # --- in --------------------------------------------------------------------------------------------------------

    async def hear(self, topic: str) -> None:
        """Subscribe at QoS 1.

        Raises:
            NotDelivered: the broker refuses the subscription.
            Disconnected: it does not answer, or the connection ended first.
        """
        try:
            async with asyncio.timeout(self.timeout):
                # Without a time-out of its own: Python's `wait_for` swallows a cancellation that meets the answer.
                codes = await self.subscribe(topic, qos=1, timeout=math.inf)
        except (aiomqtt.MqttError, TimeoutError) as error:
            raise Disconnected(self.why_lost or f"no answer to SUBSCRIBE: {error}") from error
        for code in codes:
            value = code.value if isinstance(code, ReasonCode) else int(code)
            if value >= 0x80:
                raise NotDelivered(f"subscription to {topic} refused: {code}", value)

    def ack(self, message: Message) -> None:
        """Acknowledge a message: from now on the broker may forget it."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    def took(self, message: Message) -> Message:
        """Count a message out of those that wait, and read on when there is room again."""
        self._waiting_bytes -= len(message.payload)
        if self._is_paused and self._waiting_bytes < WAITING_BYTES // 2 and not self.is_lost:
            self._is_paused = False
            self._loop.add_reader(self._socket.fileno(), self._read)
            self._loop.call_soon(self._read)  # what is in the buffer wakes no selector
        return message

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            super()._on_message(client, userdata, message)
        except ValueError:  # a topic that is no UTF-8: from a broker that lets it through, and for none of us
            client.ack(message.mid, message.qos)
            return
        self._waiting_bytes += len(message.payload)

    def _read(self) -> None:
        """Read packets for one turn of the loop."""
        for _ in range(_PACKETS_A_TURN):
            if self.is_lost or self._is_paused:
                return
            self._read_packets()
            if not self._socket.pending():
                return
        self._loop.call_soon(self._read)  # what is in the buffer wakes no selector

    def _read_packets(self) -> None:
        try:
            self._client.loop_read()
            if len(self._client._in_packet["packet"]) > INCOMING_BYTES:  # noqa: SLF001 - paho would take 256 MiB
                self._cut_packet()
        except (OSError, ValueError, MQTTException) as error:
            self.drop(f"it does not speak MQTT: {error}")
        if self._waiting_bytes > WAITING_BYTES and not self.is_lost:
            self._is_paused = True
            self._loop.remove_reader(self._socket.fileno())

    def _cut_packet(self) -> None:
        """Hand on the beginning of a packet that is too long, and skip its rest.

        Were the connection cut instead, one such message, retained, would keep us from ever receiving again.
        """
        packet = self._client._in_packet  # noqa: SLF001 - paho has no limit of its own
        if packet["command"] & 0xF0 != paho.PUBLISH:
            self.drop(f"a packet of more than {INCOMING_BYTES} bytes that is no message")
            return
        self._socket.skip(packet["to_process"])
        packet["to_process"] = 0
        self._client.loop_read()

    # --- paho's callbacks ------------------------------------------------------------------------------------------

    def _on_connect(  # noqa: PLR0917 - paho calls it so
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if properties is not None:
            self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
            self.maximum_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(  # noqa: PLR0917 - paho calls it so
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("it closes the connection without an answer"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    # All of paho runs on the loop's thread here, so its sockets are added and removed at once, and no descriptor that
    # is closed (and perhaps given to somebody else) is ever added.

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's
        self._loop.add_reader(sock.fileno(), self._read)
        self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt keepalive")

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's
        self._loop.remove_reader(sock.fileno())
        if self._misc_task is not None and self._misc_task is not asyncio.current_task():
            self._misc_task.cancel()

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's
        self._loop.add_writer(sock.fileno(), client.loop_write)

    async def _misc_loop(self) -> None:
        """Keep alive, and cut a connection on which a PUBACK is overdue: paho would send again behind our back."""
        while self._client.loop_misc() == paho.MQTT_ERR_SUCCESS:
            await asyncio.sleep(1)
            _, sent = next(iter(self._pubacks.values()), (None, self._loop.time()))
            if self._loop.time() - sent > PUBACK_SECONDS:
                self.drop(f"no PUBACK within {PUBACK_SECONDS:g} s")


def _fail(future: asyncio.Future[int], error: NotDelivered) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # retrieved: whoever does not ask has lost nothing that is not sent again


async def next_message(client: Client) -> Message:
    """Wait for the next message.

    Raises:
        Disconnected: the connection ended first.
    """
    message = waiting_message(client)
    if message is not None:
        return message
    try:
        return client.took(await anext(client.messages))
    except aiomqtt.MqttError as error:
        raise Disconnected(client.why_lost) from error


def waiting_message(client: Client) -> Message | None:
    """Give a message that is already here, without waiting; a task a message costs more than the message."""
    try:
        return client.took(client._queue.get_nowait())  # noqa: SLF001 - the queue behind `messages` has no such call
    except asyncio.QueueEmpty:
        return None
