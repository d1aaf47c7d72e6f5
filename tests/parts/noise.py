"""Bytes of no meaning, valid bytes with a bit turned over, and how both are thrown at a port."""

import asyncio
import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt

_BEGINNINGS = (
    b"<13>",
    b"<13>1 ",
    b"<34>Oct 11 22:14:15 ",
    b"4096 <1>",
    b'{"verb": "status"',
    b"\x95\x01",
    b"\x92\x01\x80",
)


def noise(draw: random.Random, *, count: int, most: int = 2000) -> Iterator[bytes]:
    """Bytes of no meaning, every fifth with a beginning that has one."""
    for n in range(count):
        data = draw.randbytes(draw.randrange(1, most))
        yield draw.choice(_BEGINNINGS) + data if n % 5 == 0 else data


def flipped(data: bytes, draw: random.Random) -> bytes:
    """Turn over one bit."""
    at = draw.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << draw.randrange(8),)) + data[at + 1 :]


def bent(data: bytes, draw: random.Random) -> bytes:
    """Cut bytes short, or turn over one of their bits."""
    return data[: draw.randrange(len(data))] if draw.random() < 0.5 else flipped(data, draw)


async def throw_datagrams(port: int, data: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for each in data:
            out.sendto(each, ("127.0.0.1", port))
            await asyncio.sleep(0)


async def throw_streams(port: int, data: Iterable[bytes]) -> None:
    """One TCP connection each."""
    for each in data:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await _throw(writer, each)


async def throw_questions(path: Path, data: Iterable[bytes]) -> None:
    """One connection to a Unix socket each, as one line."""
    for each in data:
        _, writer = await asyncio.open_unix_connection(str(path))
        await _throw(writer, each + b"\n")


async def _throw(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def overhear(port: int, topic: str, *, count: int) -> list[bytes]:
    """Payloads of a topic as they pass."""
    found: list[bytes] = []
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topic, qos=1)
        async with asyncio.timeout(30):
            async for message in client.messages:
                found.append(bytes(message.payload))
                if len(found) == count:
                    break
    return found
