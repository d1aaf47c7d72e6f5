"""The broker of the demo: amqtt (extra `demo`) on the loopback interface, for anybody, keeping nothing.

    client ──CONNECT──► door ──3.1.1──► amqtt
                         └──5──► "unacceptable protocol version", at once

amqtt speaks MQTT 3.1.1 only, and where a CONNECT of MQTT 5 carries a will (as every agent's does) it waits for bytes
that never come instead of refusing. So a door before it looks at the protocol level (MQTT 3.1.1, section 3.1.2.2)
and answers in its place. Run as a child of `agent/demo.py`: `python -m agent.demo_broker PORT`.
"""

import asyncio
import socket
import sys
from typing import Final

from amqtt.broker import Broker

LEVEL_311: Final = 4
_REFUSED: Final = bytes((0x20, 2, 0, 1))  # CONNACK, return code 1 (MQTT 3.1.1, section 3.2.2.3)
_HEAD_BYTES: Final = 16  # of a CONNECT: enough to hold the protocol level
_CHUNK_BYTES: Final = 65_536


def protocol_level(connect: bytes) -> int:
    """Read the protocol level of a CONNECT from its first bytes; 0 if it is none."""
    at = 1
    while at < len(connect) and connect[at] & 0x80:  # the remaining length: seven bits a byte
        at += 1
    at += 1
    name_bytes = int.from_bytes(connect[at : at + 2], "big")
    level = connect[at + 2 + name_bytes : at + 3 + name_bytes]
    return level[0] if connect[:1] == b"\x10" and level else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve(port: int) -> None:
    """Serve until killed."""
    inner = _free_port()
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{inner}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _pass_on(reader, writer, port=inner)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    door = await asyncio.start_server(welcome, "127.0.0.1", port)
    await door.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, port: int) -> None:
    head = await reader.readexactly(_HEAD_BYTES)
    if protocol_level(head) != LEVEL_311:
        writer.write(_REFUSED)
        await writer.drain()
        return
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    inner_writer.write(head)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pipe(reader, inner_writer), name="to the broker")
            group.create_task(_pipe(inner_reader, writer), name="from the broker")
    except* OSError:
        pass
    finally:
        inner_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
