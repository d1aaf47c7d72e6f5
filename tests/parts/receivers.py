"""A receiver that says what a test wants: it hears batches as one group, answers each by a function, and greets senders.

It keeps no memory and no sink; what is proved here is what a sender makes of the answers.

    async with receiver(broker.url, answer=lambda up, batch: Receipt(...)) as one:
        batch = await one.until(lambda: one.got and one.got[0])
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from wire import topics
from wire.batch import Batch, decode_payload
from wire.client import Broker, Client, Disconnected, connect, next_message
from wire.receipts import COMMITTED, Receipt, encode_receipts
from wire.state import decode_state

ROOT = "edgepost"
WAIT_SECONDS = 15.0
Answer = Callable[[topics.Up, Batch], Receipt | None]


def commits(_: topics.Up, batch: Batch) -> Receipt:
    """Take everything."""
    return Receipt(batch.name, batch.digest, COMMITTED)


@dataclass
class Receiver:
    """One group on one connection.

    Attributes:
        answer: what is said to a batch; None: nothing.
        got: what came, in order, repeats too.
        states: how often the sender has said that it is online; it is greeted each time.
    """

    client: Client
    group: str
    answer: Answer
    got: list[tuple[topics.Up, Batch]] = field(default_factory=list)
    states: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Answer until the connection ends."""
        while True:
            try:
                message = await next_message(self.client)
            except Disconnected:
                return
            self.client.ack(message)
            up = topics.read_up(ROOT, str(message.topic))
            if up is None:
                continue
            if up.stream == topics.STATE:
                if decode_state(message.payload).online:
                    self.states += 1
                    self.say(up)
                    self._more.set()
                continue
            batch = decode_payload(message.payload)
            self.got.append((up, batch))
            said = self.answer(up, batch)
            if said is not None:
                self.say(up, said)
            self._more.set()

    def say(self, up: topics.Up, *receipts: Receipt) -> None:
        """Send receipts; none at all says "I am here"."""
        topic = topics.down(ROOT, up.site, sender=up.sender)
        self.client.publish_soon(topic, encode_receipts(self.group, receipts))

    async def until(self, claim: Callable[[], Any]) -> Any:
        """Wait until something is true of what came; give it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (found := claim()):
                self._more.clear()
                await self._more.wait()
        return found


@asynccontextmanager
async def receiver(
    url: str, *, group: str = "center", answer: Answer = commits, site: str | None = None
) -> AsyncIterator[Receiver]:
    """Hear all batches, or those of one site."""
    async with connect(Broker(url=url, user=group), client_id=f"{group}-test") as client:
        one = Receiver(client, group, answer)
        await client.hear(topics.all_up(ROOT, site))
        listening = asyncio.create_task(one.listen(), name=group)
        try:
            yield one
        finally:
            listening.cancel()
            await asyncio.wait([listening])
