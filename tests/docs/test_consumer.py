"""The example consumer, as a reader of the specification runs it: a child process against a real broker."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parts.batches import COLUMNS, HEAD, HOP, ROW, START_NS, body_of, make_head, make_payload
from parts.brokers import mosquitto

from wire import topics
from wire.batch import digest, encode_head, encode_payload
from wire.client import Broker, Client, connect, next_message
from wire.receipts import Receipt, decode_receipts

CONSUMER = Path(__file__).resolve().parents[2] / "docs" / "examples" / "consumer.py"
UP = topics.up("edgepost", "hue", sender="gw-01", stream="log")
DOWN = topics.down("edgepost", "hue", sender="gw-01")
SECONDS = 15


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[tuple[Client, asyncio.subprocess.Process]]:
    """A connection that hears receipts, and a consumer that is subscribed."""
    async with mosquitto(tmp_path) as broker, connect(Broker(url=broker.url), client_id="gw-01-1") as client:
        command = [sys.executable, str(CONSUMER), broker.host, str(broker.port), "archive"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        try:
            await client.hear(DOWN)
            async with asyncio.timeout(SECONDS):
                while await client.publish_acked(UP.replace("/log", "/state"), b"") == 0x10:  # nobody hears it yet
                    await asyncio.sleep(0.02)
            yield client, process
        finally:
            process.kill()
            await process.wait()


async def receipt_of(client: Client, payload: bytes) -> Receipt:
    await client.publish_acked(UP, payload)
    async with asyncio.timeout(SECONDS):
        message = await next_message(client)
    client.ack(message)
    assert isinstance(message.payload, bytes)
    group, (receipt,) = decode_receipts(message.payload)
    assert group == "archive"
    return receipt


async def read_line(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None
    async with asyncio.timeout(SECONDS):
        return await stream.readline()


@pytest.mark.needs("mosquitto")
async def test_it_prints_the_rows_and_gives_the_receipt(sender: tuple[Client, asyncio.subprocess.Process]) -> None:
    client, process = sender
    head = make_head(columns=(*COLUMNS, ("raw", "bytes")))
    body = body_of([(*ROW, b"\xff")])
    receipt = await receipt_of(client, make_payload(head, body=body))
    assert Receipt(head.name, digest(encode_head(head), body), "committed") == receipt
    row = {"agent": "gw-01", "time": START_NS, "received": START_NS + 1, "text": "a line", "raw": "ff"}
    assert row == json.loads(await read_line(process.stdout))


@pytest.mark.needs("mosquitto")
async def test_it_refuses_a_wrong_digest_and_survives_garbage(
    sender: tuple[Client, asyncio.subprocess.Process],
) -> None:
    client, process = sender
    for garbage in (b"", b"\xc1", b"\x90", make_payload(body=b"no zstd"), make_payload(b"\x90", body=b"")):
        await client.publish_acked(UP, garbage)
        assert b"edgepost/v1/up/hue/gw-01/log: " in await read_line(process.stderr)
    wrong = encode_payload(HOP, digest=bytes(16), head=encode_head(HEAD), body=body_of([ROW]))
    assert Receipt(HEAD.name, bytes(16), "refused", "digest") == await receipt_of(client, wrong)
    assert (await receipt_of(client, make_payload(body=body_of([ROW])))).outcome == "committed"
    assert b'"text": "a line"' in await read_line(process.stdout)
