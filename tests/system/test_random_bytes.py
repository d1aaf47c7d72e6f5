"""Random bytes at every port and topic: nobody ends, nothing that is whole is lost, and both ledgers still agree."""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest
from parts.brokers import mosquitto
from parts.site import AGENT, SITE, Site, site, until
from parts.source import judge, sending

UP, DOWN = f"edgepost/v1/up/{SITE}/{AGENT}", f"edgepost/v1/down/{SITE}/{AGENT}"
TOPICS = (f"{UP}/syslog", f"{UP}/state", f"{UP}/../x", "edgepost/v1/up/a/b/c", "edgepost/v1/up/A/b/c/d", DOWN)
TOPICS += ("edgepost/v1/down/_probe/center", "edgepost/v2/up/lab/edge-1/syslog", f"edgepost/v1/up/{SITE}/other/state")

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(120)]


def noise(draw: random.Random, *, count: int, most: int = 2000) -> Iterator[bytes]:
    """Bytes of no meaning, every fifth with a beginning that has one."""
    beginnings = (
        b"<13>",
        b"<13>1 ",
        b"<34>Oct 11 22:14:15 ",
        b"4096 <1>",
        b'{"verb": "status"',
        b"\x95\x01",
        b"\x92\x01\x80",
    )
    for n in range(count):
        data = draw.randbytes(draw.randrange(1, most))
        yield draw.choice(beginnings) + data if n % 5 == 0 else data


async def at_udp(port: int, draw: random.Random) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for data in noise(draw, count=500):
            out.sendto(data, ("127.0.0.1", port))
            await asyncio.sleep(0)


async def at_tcp(port: int, draw: random.Random) -> None:
    for data in noise(draw, count=60, most=200_000):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await _throw(writer, data)


async def at_socket(path: Path, draw: random.Random) -> None:
    for data in noise(draw, count=60, most=20_000):
        _, writer = await asyncio.open_unix_connection(str(path))
        await _throw(writer, data + b"\n")


async def _throw(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def collect_payloads(client: aiomqtt.Client, *, count: int) -> list[bytes]:
    """Real batches as they pass, to be bent later."""
    found = []
    async for message in client.messages:
        found.append(bytes(message.payload))
        if len(found) == count:
            break
    return found


def bent(payload: bytes, draw: random.Random) -> bytes:
    """Cut a payload short, or turn over one of its bits."""
    if draw.random() < 0.5:
        return payload[: draw.randrange(len(payload))]
    at = draw.randrange(len(payload))
    return payload[:at] + bytes((payload[at] ^ 1 << draw.randrange(8),)) + payload[at + 1 :]


async def at_topics(port: int, draw: random.Random, payloads: list[bytes]) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for n, data in enumerate(noise(draw, count=300)):
            await client.publish(TOPICS[n % len(TOPICS)], data, qos=1)
        for n in range(300):
            await client.publish(TOPICS[0], bent(payloads[n % len(payloads)], draw), qos=1)


async def throw_everywhere(one: Site, port: int, draw: random.Random, payloads: list[bytes]) -> None:
    await at_udp(one.port, draw)
    await at_tcp(one.port, draw)
    await at_socket(one.socket, draw)
    await at_socket(one.sink_dir / "center.sock", draw)
    await at_topics(port, draw, payloads)


async def test_random_bytes_at_every_port_end_nothing_and_cost_no_whole_line(tmp_path):
    draw = random.Random(17)
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        pids = one.agent.pid, one.receiver.pid
        async with aiomqtt.Client("127.0.0.1", broker.port) as client, sending(one.port, rate=500) as source:
            await client.subscribe(f"{UP}/syslog", qos=1)
            payloads = await asyncio.wait_for(collect_payloads(client, count=8), 30)
            await until(lambda: one.account().get("confirmed", 0) > 500, seconds=30, what="rows are confirmed")
            await throw_everywhere(one, broker.port, draw, payloads)
            before = source.sent
            await until(lambda: source.sent > before + 500, seconds=30, what="lines go on", log=one.log)
        account = await one.drained()
        assert (one.agent.pid, one.receiver.pid) == pids
        assert one.agent.is_running, one.log()
        assert one.receiver.is_running, one.log()
        found = judge(source, one.rows())
        assert (found.lost_by, found.twice) == ({}, [])
        assert found.strange, "the noise became rows too"
        assert account["received"] == account["confirmed"] == len(one.rows()) == one.committed_rows()
        assert one.ledger()["counts"].get("refused-undecodable", 0) > 0
