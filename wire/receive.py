"""The receiving loop: group, commit, acknowledge, receipt. In this order, so that nothing is promised before it holds.

    up/# ──► decode, check who may say this ──► group (10 ms of quiet, 100 ms or 1 MiB) ──► commit ──► PUBACK ──► receipts

Whatever cannot be read is handed to `keep_refused` and, where its name can be read, receipted: nothing is ever sent
for ever. A receiver that starts says so to every sender whose state it sees, with an empty message of receipts.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wire import topics
from wire.batch import Batch, Refused, decode_payload
from wire.client import Client, Disconnected, Message, NotDelivered, next_message, waiting_message
from wire.names import BatchName
from wire.receipts import REFUSED, REJECTED, Receipt, encode_receipts
from wire.sparing import Sparing
from wire.state import State, decode_state
from wire.text import printable

GROUP_SECONDS: Final = 0.1
GROUP_BYTES: Final = 1 << 20
QUIET_SECONDS: Final = 0.01  # nothing came for so long: the senders wait for us, not we for them
PROBE_SECONDS: Final = 10.0
TOPIC: Final = "topic"
_SHOWN: Final = 200  # characters of a topic in the journal: it may have 65,535
log = logging.getLogger("edgepost.receive")


class Outcome(NamedTuple):
    """What became of one batch: an outcome of `wire.receipts`, and why."""

    outcome: str
    reason: str | None = None


Commit = Callable[[Sequence[Batch]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class Receiver:
    """Who receives, from whom, and what is done with it.

    Attributes:
        commit: makes batches durable and says what became of each, in order.
        keep_refused: keeps bytes that could not be read: (topic, payload, reason).
        hear_state: takes a sender's state: (site, sender, state).
        relays: senders that may carry other agents' batches.
    """

    root: str
    group: str
    name: str
    commit: Commit
    keep_refused: Callable[[str, bytes, str], Awaitable[None]]
    hear_state: Callable[[str, str, State], Awaitable[None]]
    site: str | None = None
    relays: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)
    sparing: Sparing = field(default_factory=Sparing)

    def count(self, what: str, number: int = 1) -> None:
        """Count an event by its name."""
        self.counts[what] = self.counts.get(what, 0) + number


async def receive(client: Client, receiver: Receiver, *, ready: Callable[[], None]) -> None:
    """Receive on one connection until it is lost; `ready` is called when the subscription is proved.

    Raises:
        Disconnected: the connection was lost.
        NotDelivered: the broker refuses a subscription or a receipt.
    """
    await client.hear(topics.probe(receiver.root, receiver.name))
    await _probe(client, receiver)
    await client.hear(topics.all_up(receiver.root, receiver.site))
    ready()
    while True:
        messages = await _next_group(client)
        batches: list[tuple[topics.Up, Batch]] = []
        receipts: dict[tuple[str, str], list[Receipt]] = {}
        for message in messages:
            await _sort(client, receiver, message, batches=batches, receipts=receipts)
        if batches:
            outcomes = await receiver.commit([batch for _, batch in batches])
            for (up, batch), outcome in zip(batches, outcomes, strict=True):
                receiver.count(outcome.outcome)
                receipts.setdefault((up.site, up.sender), []).append(Receipt(batch.name, batch.digest, *outcome))
        for message in messages:
            client.ack(message)
        for (site, sender), said in receipts.items():
            payload = encode_receipts(receiver.group, said)
            client.publish_soon(topics.down(receiver.root, site, sender=sender), payload).add_done_callback(_seen)


def _seen(done: asyncio.Future[int]) -> None:
    """A receipt that is lost is made good by the sender's next try."""
    if not done.cancelled() and done.exception() is not None:
        log.warning("a receipt was not delivered: %s", done.exception())


async def _probe(client: Client, receiver: Receiver) -> None:
    """Prove that what is published here is heard here."""
    token = time.time_ns().to_bytes(8, "big")
    await client.publish_acked(topics.probe(receiver.root, receiver.name), token)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            while True:
                message = await next_message(client)
                client.ack(message)
                if message.payload == token:
                    return
    except TimeoutError:
        raise Disconnected("our own probe does not come back: the broker does not deliver to us") from None


async def _next_group(client: Client) -> list[Message]:
    """Wait for a message, then take what comes, until nothing comes for 10 ms, for 100 ms at most and up to 1 MiB.

    A sender whose window is full waits for our receipts: 100 ms for each MiB held it to 200,000 rows a second.
    """
    group = [await next_message(client)]
    size = _size(group[0])
    loop = asyncio.get_running_loop()
    until = loop.time() + GROUP_SECONDS
    while size < GROUP_BYTES and loop.time() < until and not client.is_lost:
        message = waiting_message(client)
        if message is None:
            await asyncio.sleep(QUIET_SECONDS)
            message = waiting_message(client)
            if message is None:
                break
        group.append(message)
        size += _size(message)
    return group


def _size(message: Message) -> int:
    return len(message.payload)


async def _sort(
    client: Client,
    receiver: Receiver,
    message: Message,
    *,
    batches: list[tuple[topics.Up, Batch]],
    receipts: dict[tuple[str, str], list[Receipt]],
) -> None:
    """Put one message where it belongs: state, a batch to commit, or refused with its reason."""
    topic = str(message.topic)
    payload = message.payload
    if topic == topics.probe(receiver.root, receiver.name):
        return
    up = topics.read_up(receiver.root, topic)
    if up is None:
        await _refuse(receiver, topic, payload=payload, why=Refused(TOPIC, "a level of the topic is no name"))
        return
    try:
        if up.stream == topics.STATE:
            await _hear_state(client, receiver, up, payload=payload)
            return
        batch = decode_payload(payload)
        _check_sender(up, batch, receiver)
        batches.append((up, batch))
    except Refused as refused:
        await _refuse(receiver, topic, payload=payload, why=refused)
        if refused.name is not None:
            receipts.setdefault((up.site, up.sender), []).append(_receipt_of(refused, refused.name))


async def _refuse(receiver: Receiver, topic: str, *, payload: bytes, why: Refused) -> None:
    """Count it, keep its bytes, and say so: once, then once a minute what has gathered of the same topic."""
    receiver.count(f"refused-{why.reason}")
    shown = printable(topic[:_SHOWN])
    number = receiver.sparing.count(f"{shown} {why.reason}")
    if number:
        log.warning("refused from %s: %s (%d)", shown, printable(str(why)), number)
    await receiver.keep_refused(topic, payload, why.reason)


def _receipt_of(refused: Refused, name: BatchName) -> Receipt:
    if refused.reason == "digest":
        return Receipt(name, refused.digest, REFUSED, "digest")
    return Receipt(name, refused.digest, REJECTED, refused.reason)


def _check_sender(up: topics.Up, batch: Batch, receiver: Receiver) -> None:
    """Only a listed relay may carry what another agent said, and a topic must tell the truth about its batch."""
    honest = up.site == batch.head.site and up.stream == batch.head.stream
    if honest and (up.sender == batch.head.agent or up.sender in receiver.relays):
        return
    refused = Refused("not-relay", f"{up.sender} is not {batch.head.agent} and no relay of ours")
    refused.name, refused.digest = batch.name, batch.digest
    raise refused


async def _hear_state(client: Client, receiver: Receiver, up: topics.Up, *, payload: bytes) -> None:
    if not payload:
        return  # a retained state that somebody has cleared
    state = decode_state(payload)
    await receiver.hear_state(up.site, up.sender, state)
    if state.online:
        hello = encode_receipts(receiver.group, [])
        client.publish_soon(topics.down(receiver.root, up.site, sender=up.sender), hello).add_done_callback(_seen)


__all__ = ["Commit", "NotDelivered", "Outcome", "Receiver", "receive"]
