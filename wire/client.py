"""Connections to brokers: from settings to a client, or to a reason and a remedy in words.

`wire/dial.py` makes the socket, `wire/connection.py` speaks MQTT on it. Both ends import from here; nobody else imports
aiomqtt or paho.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from wire.connection import (
    MQTT_5,
    MQTT_311,
    NO_SUBSCRIBERS,
    PACKET_TOO_LARGE,
    PUBACK_SECONDS,
    Client,
    Disconnected,
    Message,
    NotDelivered,
    next_message,
    waiting_message,
)
from wire.dial import CONNECT_SECONDS, Broker, ConnectFailed, dial, explain

__all__ = [
    "MQTT_5",
    "MQTT_311",
    "NO_SUBSCRIBERS",
    "PACKET_TOO_LARGE",
    "PUBACK_SECONDS",
    "Broker",
    "Client",
    "ConnectFailed",
    "Disconnected",
    "Message",
    "NotDelivered",
    "connect",
    "next_message",
    "waiting_message",
]

_UNSUPPORTED_VERSION: Final = 0x84  # nats-server 2.9 and amqtt answer MQTT 5 with return code 1, which paho reads so
_REFUSES_US: Final = {0x86, 0x87}  # bad user name or password, not authorized


@asynccontextmanager
async def connect(
    broker: Broker,
    *,
    client_id: str,
    will: tuple[str, bytes] | None = None,
    protocol: int = MQTT_5,
    timeout: float = CONNECT_SECONDS,
) -> AsyncIterator[Client]:
    """Open one connection with clean start, and close it with a DISCONNECT unless it is lost.

    Raises:
        ConnectFailed: with the reason and what to do.
    """
    sock = await dial(broker, timeout=timeout)
    given = None if will is None else aiomqtt.Will(will[0], will[1], qos=1, retain=True)
    client = Client(broker, sock, protocol=protocol, identifier=client_id, will=given, timeout=timeout)
    try:
        await client.__aenter__()
    except (aiomqtt.MqttError, OSError) as error:
        raise _explain(broker, client, error=error, protocol=protocol) from error
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)


def _explain(broker: Broker, client: Client, *, error: Exception, protocol: int) -> ConnectFailed:
    """Say in words why the broker did not take our CONNECT."""
    where = f"{broker.host}:{broker.port}"
    if isinstance(error, MqttConnectError) and isinstance(error.rc, ReasonCode):
        if error.rc.value == _UNSUPPORTED_VERSION:
            return ConnectFailed(f"{where} does not speak MQTT 5", "nothing: MQTT 3.1.1 is used", is_old_broker=True)
        if error.rc.value in _REFUSES_US:
            return ConnectFailed(
                f"{where} refuses us: {error.rc}", "check `user`, `password_file` and the broker's list of users"
            )
        return ConnectFailed(f"{where} refuses: {error.rc}", "look into the broker's log")
    if isinstance(client.broken, ssl.SSLError):  # with TLS 1.3 the client's certificate is refused after the handshake
        return explain(broker, client.broken)
    if isinstance(error, TimeoutError):
        # amqtt takes a part of an MQTT 5 CONNECT with a user for a length and waits for more: 3.1.1 is worth a try.
        remedy = "check the port in `url`: is it an MQTT broker's?"
        return ConnectFailed(f"{where} does not answer our CONNECT", remedy, is_old_broker=protocol == MQTT_5)
    return ConnectFailed(f"{where}: {error}", "look into the broker's log; is TLS spoken on this port?")
