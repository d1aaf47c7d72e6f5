"""A broker that speaks MQTT 3.1.1 only, in front of a real one that speaks both.

mosquitto 2.0 cannot be told to refuse MQTT 5. This proxy answers a CONNECT of protocol level 5 as a 3.1.1 broker does
(CONNACK with return code 1, MQTT 3.1.1 section 3.2.2.3), and passes everything else through.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_REFUSE = bytes((0x20, 2, 0, 1))  # CONNACK, unacceptable protocol version


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def only_311(port: int) -> AsyncIterator[str]:
    """Stand before the broker at `port`; give the URL of the door that takes 3.1.1 only."""

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(4096)
        at = hello.find(b"\x00\x04MQTT")
        if at < 0 or hello[at + 6] != 4:
            writer.write(_REFUSE)
            writer.close()
            return
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            far_writer.write(hello)
            try:
                await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
            finally:
                far_writer.close()
                writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    async with server:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
