"""One MQTT connection: reason codes are errors, acknowledgements are ours. The only place that knows aiomqtt and paho.

aiomqtt 2.5 throws reason codes away: a publish denied by an ACL returns as if all were well. It also acknowledges a
message when it is handed over, not when it is safe. The thin subclass here changes exactly these two, and honours
Receive Maximum and Maximum Packet Size, which paho ignores (MQTT 5, sections 3.2.2.3.3 and 3.2.2.3.6).
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt
import msgspec
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wire.secret import Secret

NO_SUBSCRIBERS: Final = 0x10
UNSUPPORTED_VERSION: Final = 0x84
MQTT_5: Final = 5
MQTT_311: Final = 4
CONNECT_SECONDS: Final = 10.0
PUBACK_SECONDS: Final = 20.0
KEEPALIVE_SECONDS: Final = 30
_PACKET_OVERHEAD: Final = 256  # fixed header, topic and properties of a PUBLISH
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}

log = logging.getLogger("edgepost.mqtt")
_quiet = logging.getLogger("edgepost.mqtt.paho")
_quiet.setLevel(logging.CRITICAL)  # what it would say is in our exceptions


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a broker is and who we are to it.

    Attributes:
        url: `mqtt://host:1883` or `mqtts://host:8883` (TLS). Never with user or password in it.
        user: MQTT user; with certificates the broker may take it from the certificate.
        password: or `password_file`, or `${ENV}`.
        ca_file: certificates that may sign the broker's; default the system's.
        cert_file: our certificate, PEM.
        key_file: its private key, PEM.
    """

    url: str
    user: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_whole = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and not parts.path.strip("/")
        except ValueError:  # a port that is no port, a bracket that is not closed
            raise ValueError("url cannot be taken apart; write mqtts://HOST:PORT, with a port up to 65535") from None
        if parts.username or parts.password:
            raise ValueError("url holds a user or a password; write them as `user` and `password_file`")
        if not is_whole:
            raise ValueError("url names no MQTT broker; write mqtts://HOST:PORT, or mqtt://HOST:PORT without TLS")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together; add the other one")

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port, by scheme where the URL names none."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class NotDelivered(Exception):
    """A publish that the broker did not take. `code` is the reason code, None for a time-out or a lost connection."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class ConnectFailed(Exception):
    """No connection; `remedy` tells a sysadmin what to do, `is_old_broker` that MQTT 5 was not understood."""

    def __init__(self, reason: str, remedy: str, *, is_old_broker: bool = False) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.is_old_broker = is_old_broker


class Disconnected(Exception):
    """The connection ended."""


Message = aiomqtt.Message


class _NamedContext(ssl.SSLContext):
    """Verifies the broker by its name, although the socket is connected by address."""

    verified_name = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        kwargs["server_hostname"] = self.verified_name
        return super().wrap_socket(*args, **kwargs)


class Client(aiomqtt.Client):
    """A connection whose PUBACKs carry their reason and whose messages we acknowledge ourselves."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, logger=_quiet, **kwargs)
        self.receive_maximum = 65_535
        self.maximum_packet_bytes: int | None = None
        self._pubacks: dict[int, asyncio.Future[int]] = {}
        self._client.manual_ack_set(True)

    @property
    def in_flight(self) -> int:
        """Publishes without their PUBACK."""
        return len(self._pubacks)

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._disconnected.done()

    def fits(self, payload_bytes: int) -> bool:
        """Tell whether the broker takes a packet of that size."""
        return self.maximum_packet_bytes is None or payload_bytes + _PACKET_OVERHEAD <= self.maximum_packet_bytes

    def publish_soon(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[int]:
        """Send one message at QoS 1; the future gives the PUBACK's reason code: 0, or 0x10 for no subscriber.

        Raises (in the future):
            NotDelivered: refused by the broker, or the connection was lost first.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.is_lost:
            future.set_exception(NotDelivered("the connection is lost"))
            return future
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            future.set_exception(NotDelivered(paho.error_string(sent.rc)))
        else:
            self._pubacks[sent.mid] = future
        return future

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
            self.drop()
            raise NotDelivered(f"no PUBACK within {timeout:.0f} s") from None

    async def hear(self, topic: str) -> None:
        """Subscribe at QoS 1.

        Raises:
            NotDelivered: the broker refuses the subscription, or the connection was lost meanwhile.
        """
        try:
            codes = await self.subscribe(topic, qos=1)
        except aiomqtt.MqttError as error:
            raise NotDelivered(f"not subscribed to {topic}: {error}") from error
        for code in codes:
            value = code.value if isinstance(code, ReasonCode) else int(code)
            if value >= 0x80:
                raise NotDelivered(f"subscription to {topic} refused: {code}", value)

    def ack(self, message: Message) -> None:
        """Acknowledge a message: from now on the broker may forget it."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    def drop(self) -> None:
        """Cut the connection without a DISCONNECT, so that the broker publishes our will."""
        if not self._disconnected.done():
            self._disconnected.set_exception(aiomqtt.MqttError("cut"))
        sock = self._client.socket()
        if sock is not None:
            self._on_socket_close(self._client, None, sock)
            sock.close()
        self._lose()

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""
        await asyncio.wait([self._disconnected])
        self._lose()

    def _lose(self) -> None:
        pubacks, self._pubacks = self._pubacks, {}
        for future in pubacks.values():
            if not future.done():
                future.set_exception(NotDelivered("the connection was lost before the PUBACK"))
                future.exception()

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

    def _on_publish(  # noqa: PLR0917 - paho calls it so
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        sock = client.socket()
        if self._pubacks and isinstance(sock, socket.socket):
            # A broker under Nagle's algorithm sends the next PUBACK when we acknowledge this one, by itself after 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        future = self._pubacks.pop(mid, None)
        if future is None or future.done():
            return
        code = reason_code.value
        if code >= 0x80:
            future.set_exception(NotDelivered(f"refused by the broker: {reason_code}", code))
            future.exception()
        else:
            future.set_result(code)


@asynccontextmanager
async def connect(
    broker: Broker,
    *,
    client_id: str,
    will: tuple[str, bytes] | None = None,
    protocol: int = MQTT_5,
    timeout: float = CONNECT_SECONDS,
) -> AsyncIterator[Client]:
    """Open one connection, and close it with a DISCONNECT unless it is lost.

    Names are resolved first and with a time-out, because paho would block a thread on them.

    Raises:
        ConnectFailed: with the reason and what to do.
    """
    address = await _resolve(broker, timeout)
    client = Client(
        address,
        broker.port,
        identifier=client_id,
        username=broker.user,
        password=None if broker.password is None else broker.password.reveal(),
        protocol=aiomqtt.ProtocolVersion(protocol),
        will=None if will is None else aiomqtt.Will(will[0], will[1], qos=1, retain=True),
        clean_session=True if protocol == MQTT_311 else None,
        clean_start=True if protocol == MQTT_5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
        keepalive=KEEPALIVE_SECONDS,
        timeout=timeout,
        tls_context=_tls_context(broker) if broker.is_tls else None,
        max_inflight_messages=65_535,
        max_queued_outgoing_messages=0,
        socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),  # 40 ms a window without it
    )
    try:
        async with asyncio.timeout(2 * timeout):
            await client.__aenter__()
    except (aiomqtt.MqttError, ssl.SSLError, TimeoutError, OSError) as error:
        raise _explain(broker, error, protocol) from error
    try:
        yield client
    finally:
        await _leave(client)


async def _leave(client: Client) -> None:
    client._lose()  # noqa: SLF001 - the same class, seen from its factory
    try:
        async with asyncio.timeout(2):
            await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, TimeoutError, OSError, ValueError):
        client.drop()


async def _resolve(broker: Broker, timeout: float) -> str:
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        raise ConnectFailed(
            f"the name {broker.host} cannot be resolved", f"check `getent hosts {broker.host}` and /etc/resolv.conf"
        ) from None
    return str(found[0][4][0])


def _tls_context(broker: Broker) -> ssl.SSLContext:
    """Make the context anew for each connection, so that renewed files are taken up."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verified_name = broker.host
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if broker.ca_file:
            context.load_verify_locations(broker.ca_file)
        else:
            context.load_default_certs()
        if broker.cert_file:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConnectFailed(f"TLS files: {error}", "check ca_file, cert_file and key_file") from error
    return context


def _explain(broker: Broker, error: Exception, protocol: int) -> ConnectFailed:
    """Say in words why there is no connection and what to do."""
    text = str(error) or type(error).__name__
    where = f"{broker.host}:{broker.port}"
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code in {UNSUPPORTED_VERSION, 1}:
            return ConnectFailed(f"{where} does not speak MQTT 5", "nothing: MQTT 3.1.1 is used", is_old_broker=True)
        if code in {0x86, 0x87, 4, 5}:
            return ConnectFailed(f"{where} refuses user or password", "check `user`, `password_file` and the broker")
        return ConnectFailed(f"{where} refuses: {text}", "look into the broker's log")
    lowered = text.lower()
    if "certificate" in lowered:
        return ConnectFailed(f"{where}: {text}", "check ca_file, the broker's certificate and this clock")
    if "refused" in lowered:
        return ConnectFailed(f"nobody listens on {where}", "check that the broker runs and its port")
    if isinstance(error, TimeoutError) or "timed out" in lowered:
        # A broker that knows only 3.1.1 may close without a CONNACK; then this is all there is to see.
        old = protocol == MQTT_5
        return ConnectFailed(f"{where} does not answer", "check the way to it and its firewall", is_old_broker=old)
    return ConnectFailed(f"{where}: {text}", "look into the broker's log", is_old_broker=protocol == MQTT_5)


async def next_message(client: Client) -> Message:
    """Wait for the next message.

    Raises:
        Disconnected: the connection ended first.
    """
    try:
        return await anext(client.messages)
    except aiomqtt.MqttError as error:
        raise Disconnected(str(error)) from error


def waiting_message(client: Client) -> Message | None:
    """Give a message that is already here, without waiting; a task a message costs more than the message."""
    try:
        return client._queue.get_nowait()  # noqa: SLF001 - the queue behind `messages`, which has no such call
    except asyncio.QueueEmpty:
        return None
