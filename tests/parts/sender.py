"""A small raw sender: makes batches with `wire/` alone, publishes them, and collects the receipts.

It keeps no custody: a test decides what is sent, sent again, forged or broken.

    async with sender(broker.url) as one:
        await one.send(one.batch(["a", "b"]))
        receipts = await one.receipts(1)
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from parts.batches import HEAD, HOP, START_NS

from wire import topics
from wire.batch import Head, compress, digest, encode_head, encode_payload
from wire.client import MQTT_5, Broker, Client, Disconnected, connect, next_message
from wire.receipts import Receipt, decode_receipts

WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Made:
    """One batch, ready to be sent any number of times."""

    head: Head
    head_bytes: bytes
    body: bytes

    @property
    def digest(self) -> bytes:
        return digest(self.head_bytes, self.body)

    @property
    def payload(self) -> bytes:
        hop = replace(HOP, sender=self.head.agent)
        return encode_payload(hop, digest=self.digest, head=self.head_bytes, body=self.body)


def make(texts: Sequence[str], *, seq: int, **changes: Any) -> Made:
    """Make one batch whose rows are `[time, received, text]`."""
    rows = [(START_NS, START_NS + number, text) for number, text in enumerate(texts)]
    head = replace(HEAD, seq=seq, rows=len(rows), **changes)
    return Made(head, encode_head(head), compress(msgspec.msgpack.encode(rows)))


@dataclass
class Sender:
    """One agent by name, on one connection.

    Attributes:
        epoch: of the batches that it makes.
        got: every receipt so far, in the order of arrival.
        hellos: messages of receipts without receipts: a receiver has started.
    """

    client: Client
    agent: str = HEAD.agent
    site: str = HEAD.site
    root: str = "edgepost"
    epoch: bytes = field(default_factory=lambda: os.urandom(16))
    got: list[Receipt] = field(default_factory=list)
    hellos: int = 0
    _seq: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def batch(self, texts: Sequence[str], **changes: Any) -> Made:
        """Make the next batch of this sender."""
        self._seq += 1
        own = {"agent": self.agent, "site": self.site, "epoch": self.epoch}
        return make(texts, **{"seq": self._seq, **own, **changes})

    async def send(self, *batches: Made, topic: str | None = None) -> None:
        """Publish batches and wait for their PUBACKs."""
        for done in [self.client.publish_soon(topic or self.topic(one.head.stream), one.payload) for one in batches]:
            await done

    async def send_bytes(self, payload: bytes, *, topic: str | None = None) -> None:
        """Publish anything at all."""
        await self.client.publish_acked(topic or self.topic(HEAD.stream), payload)

    def topic(self, stream: str) -> str:
        return topics.up(self.root, self.site, sender=self.agent, stream=stream)

    async def receipts(self, number: int) -> list[Receipt]:
        """Wait until there are so many receipts in all; give all."""
        await self._until(lambda: len(self.got) >= number, f"{number} receipts")
        return list(self.got)

    async def hello(self) -> None:
        """Wait until a receiver has said that it is there."""
        await self._until(lambda: self.hellos > 0, "a receiver's hello")

    async def _until(self, claim: Any, what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not claim():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {WAIT_SECONDS} s; got {len(self.got)}: {self.got[:5]}") from None

    async def listen(self) -> None:
        """Collect receipts until the connection ends."""
        while True:
            try:
                message = await next_message(self.client)
            except Disconnected:
                return
            self.client.ack(message)
            _, receipts = decode_receipts(message.payload)
            self.hellos += not receipts
            self.got += receipts
            self._more.set()


@asynccontextmanager
async def sender(url: str, *, agent: str = HEAD.agent, protocol: int = MQTT_5, **facts: Any) -> AsyncIterator[Sender]:
    """Connect a sender that hears its receipts."""
    name = f"{agent}-{os.urandom(3).hex()}"
    async with connect(Broker(url=url, user=agent), client_id=name, protocol=protocol) as client:
        one = Sender(client, agent, **facts)
        await client.hear(topics.down(one.root, one.site, sender=one.agent))
        listening = asyncio.create_task(one.listen(), name="receipts")
        try:
            yield one
        finally:
            listening.cancel()
            await asyncio.wait([listening])
