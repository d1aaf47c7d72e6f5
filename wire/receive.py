"""The receiving loop: group, commit, acknowledge, receipt. In this order, so that nothing is promised before it holds.

    up/# ──► decode, check who may say this ──► group (10 ms of quiet, 100 ms or 1 MiB) ──► commit ──► PUBACK ──► receipts
              └── cannot be taken: Unread ─────────────┘   (its bytes are kept in the same commit)

What cannot be read goes through the same commit as what can: its bytes are durable before anybody is told, and where
its name can be read it is receipted, so nothing is ever sent for ever. A receiver that starts says so to every sender
whose state it sees, with an empty message of receipts.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wire import topics
from wire.batch import Batch, Refused, decode_payload
from wire.client import Client, Disconnected, Message, NotDelivered, next_message, waiting_message
from wire.names import BatchName
from wire.receipts import LATER, MAX_RECEIPTS, Receipt, encode_receipts
from wire.state import State, decode_state
from wire.text import printable

GROUP_SECONDS: Final = 0.1
GROUP_BYTES: Final = 1 << 20
QUIET_SECONDS: Final = 0.01  # nothing came for so long: the senders wait for us, not we for them
PROBE_SECONDS: Final = 10.0
TOPIC: Final = "topic"  # the reason of what came on a topic whose levels are no names; never in a receipt
_MESSAGE_BYTES: Final = 128  # what a message costs beside its payload: 8,192 empty ones make a group
_SHOWN: Final = 200  # characters of a topic in the journal: it may have 65,535
_MAX_TOLD: Final = 1_024  # refusals that are logged; whoever makes up topics without end fills no journal
log = logging.getLogger("edgepost.receive")


class Outcome(NamedTuple):
    """What became of one batch: an outcome of `wire.receipts`, and why."""

    outcome: str
    reason: str | None = None


class Unread(NamedTuple):
    """A payload that is not taken: what it came on, why not, and which batch it is, as far as that can be known.

    Attributes:
        name: of the batch, when it could be read: then a receipt is due.
        agent: whose batch it is, where the sender may speak for that agent; else None.
    """

    topic: str
    payload: bytes
    reason: str
    name: BatchName | None = None
    digest: bytes = b""
    agent: str | None = None


class Heard(NamedTuple):
    """The state of a sender."""

    site: str
    sender: str
    state: State


Received = Batch | Unread
Commit = Callable[[Sequence[Received]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class Receiver:
    """Who receives, from whom, and what is done with it.

    Attributes:
        commit: makes batches and the bytes of what is not taken durable, and says what became of each, in order.
        hear: takes the states of senders, to be remembered by the next commit.
        relays: senders that may carry other agents' batches.
        tier: ours; batches are taken from a higher one only, so custody moves towards the center.
        counts: what came, by outcome and by reason, since the start.
    """

    root: str
    group: str
    name: str
    commit: Commit
    hear: Callable[[Sequence[Heard]], None]
    site: str | None = None
    relays: frozenset[str] = frozenset()
    tier: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)

    def count(self, what: str, number: int = 1) -> None:
        """Count an event by its name."""
        self.counts[what] = self.counts.get(what, 0) + number

    def tell_once(self, topic: str, why: str) -> None:
        """Log a refusal once for each topic and reason; how many there were stands in the counts."""
        topic = topic[:_SHOWN]
        if (topic, why) in self.told or len(self.told) >= _MAX_TOLD:
            return
        self.told.add((topic, why))
        log.warning("refused from %s: %s; more of the same are counted, not logged", printable(topic), printable(why))


@dataclass(slots=True)
class _Group:
    """Messages that are committed together, and whom to answer."""

    messages: list[Message]
    received: list[Received] = field(default_factory=list)
    senders: list[topics.Up | None] = field(default_factory=list)  # of what was received, in its order
    states: list[Heard] = field(default_factory=list)
    receipts: dict[tuple[str, str], list[Receipt]] = field(default_factory=dict)

    def add(self, up: topics.Up | None, received: Received) -> None:
        self.senders.append(up)
        self.received.append(received)

    def answer(self, up: topics.Up, receipt: Receipt) -> None:
        self.receipts.setdefault((up.site, up.sender), []).append(receipt)


async def receive(client: Client, receiver: Receiver, *, ready: Callable[[], None]) -> None:
    """Receive on one connection until it is lost; `ready` is called when the subscription is proved.

    A group that is under way when we are cancelled is finished and receipted first.

    Raises:
        Disconnected: the connection was lost.
        NotDelivered: the broker refuses a subscription.
    """
    await client.hear(topics.probe(receiver.root, receiver.name))
    await _probe(client, receiver)
    await client.hear(topics.all_up(receiver.root, receiver.site))
    ready()
    while True:
        group = _Group(await _next_messages(client))
        finishing = asyncio.ensure_future(_finish(client, receiver, group))
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            await finishing
            raise


async def _finish(client: Client, receiver: Receiver, group: _Group) -> None:
    for message in group.messages:
        _sort(receiver, group, message)
    if group.states:
        receiver.hear(group.states)
    if group.states or group.received:
        outcomes = await receiver.commit(group.received)
        for up, received, outcome in zip(group.senders, group.received, outcomes, strict=True):
            receiver.count(outcome.outcome)
            if up is not None and received.name is not None:
                group.answer(up, Receipt(received.name, received.digest, *outcome))
    for message in group.messages:
        client.ack(message)
    for (site, sender), payload in _answers(receiver, group):
        client.publish_soon(topics.down(receiver.root, site, sender=sender), payload).add_done_callback(_seen)


def _answers(receiver: Receiver, group: _Group) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Give each sender's receipts, in messages of at most `MAX_RECEIPTS`, and "I am here" to those who are online."""
    for place, receipts in group.receipts.items():
        for first in range(0, len(receipts), MAX_RECEIPTS):
            yield place, encode_receipts(receiver.group, receipts[first : first + MAX_RECEIPTS])
    for place in {(heard.site, heard.sender): None for heard in group.states if heard.state.online}:
        yield place, encode_receipts(receiver.group, [])


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


async def _next_messages(client: Client) -> list[Message]:
    """Wait for a message, then take what comes, until nothing comes for 10 ms, for 100 ms at most and up to 1 MiB.

    A sender whose window is full waits for our receipts: 100 ms for each MiB held it to 200,000 rows a second.
    """
    messages = [await next_message(client)]
    size = _size(messages[0])
    loop = asyncio.get_running_loop()
    until = loop.time() + GROUP_SECONDS
    while size < GROUP_BYTES and loop.time() < until and not client.is_lost:
        message = waiting_message(client)
        if message is None:
            await asyncio.sleep(QUIET_SECONDS)
            message = waiting_message(client)
            if message is None:
                break
        messages.append(message)
        size += _size(message)
    return messages


def _size(message: Message) -> int:
    return len(message.payload) + _MESSAGE_BYTES


def _sort(receiver: Receiver, group: _Group, message: Message) -> None:
    """Put one message where it belongs: a state, a batch to commit, or unread with its reason."""
    topic = str(message.topic)
    up = topics.read_up(receiver.root, topic)
    try:
        if up is not None:
            _read(receiver, group, up, payload=message.payload)
        elif topic != topics.probe(receiver.root, receiver.name):
            raise Refused(TOPIC, "a level of the topic is no name")
    except Refused as refused:
        receiver.count(f"refused-{refused.reason}")
        receiver.tell_once(topic, str(refused))
        group.add(up, _unread(message, refused=refused, up=up, relays=receiver.relays))


def _read(receiver: Receiver, group: _Group, up: topics.Up, *, payload: bytes) -> None:
    if up.stream == topics.STATE:
        if payload:  # else a retained state that somebody has cleared
            group.states.append(Heard(up.site, up.sender, decode_state(payload)))
        return
    batch = decode_payload(payload)
    _check_sender(up, batch, receiver)
    if batch.hop.tier > receiver.tier:
        group.add(up, batch)
        return
    receiver.count(LATER)
    receiver.tell_once(up.sender, f"a sender of tier {batch.hop.tier}: batches go towards the center only")
    group.answer(up, Receipt(batch.name, batch.digest, LATER, "tier"))


def _unread(message: Message, *, refused: Refused, up: topics.Up | None, relays: frozenset[str]) -> Unread:
    """Say what can be known of a payload that is not taken; a stranger's word about another's batch is not."""
    speaks = up is not None and refused.name is not None and (refused.origin == up.sender or up.sender in relays)
    return Unread(
        topic=str(message.topic),
        payload=message.payload,
        reason=refused.reason,
        name=refused.name,
        digest=refused.digest,
        agent=refused.origin if speaks else None,
    )


def _check_sender(up: topics.Up, batch: Batch, receiver: Receiver) -> None:
    """Only a listed relay may carry what another agent said, and a topic must tell the truth about its batch."""
    wrong = _untruth(up, batch)
    if not wrong and up.sender != batch.head.agent and up.sender not in receiver.relays:
        wrong = f"{up.sender} carries a batch of {batch.head.agent} and is no relay of ours"
    if wrong:
        refused = Refused("not-relay", wrong)
        refused.name, refused.digest, refused.origin = batch.name, batch.digest, batch.head.agent
        raise refused


def _untruth(up: topics.Up, batch: Batch) -> str:
    """Say which level of a topic is not what the batch's head says; empty if none."""
    for level, told, true in (("site", up.site, batch.head.site), ("stream", up.stream, batch.head.stream)):
        if told != true:
            return f"the {level} in the topic is {told}, in the batch {true}"
    return ""


__all__ = ["Commit", "Heard", "NotDelivered", "Outcome", "Received", "Receiver", "Unread", "receive"]
