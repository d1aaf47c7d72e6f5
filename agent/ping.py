"""`edgepost ping`: the agent's half. One urgent row goes the whole way, and each step says when it was reached.

    put ──► taken ──► committed (the batch's name) ──► sent ──► PUBACK ──► receipt of each group
            intake    disk                             broker            center

Nothing here is special to the ping: the row takes the road of every other, so what it shows is what all rows meet.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from agent.answer import Verb, refusal
from agent.events import AGENT, row
from collectors.sink import Lane, Sink
from wire.batch import Refused, decode_head
from wire.names import BatchName

EVERY_SECONDS: Final = 1.0
DEFAULT_SECONDS: Final = 30.0
MOST_SECONDS: Final = 600.0


class Pingable(Protocol):
    """The intake, as far as a ping needs it."""

    def sink(self, collector: str) -> Sink:
        """The sink of one collector."""

    async def next_commit(self) -> Sequence[Any]:
        """Wait for the end of the next commit; give the batches that it named (`agent.buffer.Held`)."""


class Watching(Protocol):
    """The forwarder, as far as a ping needs it."""

    def facts(self) -> dict[str, Any]:
        """With `broker` and `confirm`."""

    def watch(self, name: BatchName) -> AsyncIterator[tuple[Any, ...]]:
        """Give (step, at_ns, detail) as batch `name` is sent, acked and receipted; what happened before too."""


class Step(NamedTuple):
    """One step: `taken`, `committed`, `sent`, `acked`, `receipt`; when; and what there is to say of it."""

    step: str
    at_ns: int
    detail: str


def ping_verb(intake: Pingable, forward: Watching, *, is_durable: Callable[[], bool]) -> Verb:
    """Make the verb: `{"verb": "ping", "timeout_seconds": n}`; it answers one line a step.

    Args:
        intake: takes the row.
        forward: tells how far its batch came.
        is_durable: whether what is committed now is on disk, and not in memory only.
    """
    last = -EVERY_SECONDS

    async def ping_once_a_second(request: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        nonlocal last
        patience = request.get("timeout_seconds", DEFAULT_SECONDS)
        if not isinstance(patience, int | float) or not 0 < patience <= MOST_SECONDS:
            yield refusal(f"timeout_seconds is no number up to {MOST_SECONDS:.0f}")
            return
        now = time.monotonic()
        if now - last < EVERY_SECONDS:
            yield refusal("one ping a second is enough", "wait a second")
            return
        last = now
        try:
            async with asyncio.timeout(patience):
                async for step in ping(intake, forward, is_durable=is_durable):
                    yield json.dumps(step._asdict()).encode()
        except TimeoutError:
            yield json.dumps({"step": "timeout", "at_ns": time.time_ns(), "detail": ""}).encode()

    return ping_once_a_second


async def ping(intake: Pingable, forward: Watching, *, is_durable: Callable[[], bool]) -> AsyncGenerator[Step, None]:
    """Put one urgent row and follow it to its last receipt."""
    one = row("ping", text="edgepost ping")
    stamp = one[1]
    committing = asyncio.ensure_future(_named(intake, stamp))
    try:
        await asyncio.sleep(0)  # the waiter stands before the row is put
        intake.sink("agent").put(AGENT, [one], lane=Lane.URGENT)
        yield Step("taken", stamp, "")
        name = await committing
    finally:
        committing.cancel()
    yield Step("committed", time.time_ns(), str(name) if is_durable() else f"{name}, in memory only")
    facts = forward.facts()
    awaited = set(facts.get("confirm") or ())
    async for reached in forward.watch(name):
        step, at_ns, detail = (*reached, "", "")[:3]
        yield Step(str(step), int(at_ns), str(detail or _whom(step, facts)))
        if step == "receipt":
            awaited.discard(str(detail or next(iter(awaited), "")))
            if not awaited:
                return


async def _named(intake: Pingable, stamp: int) -> BatchName:
    """Wait for the commit that names the batch with the row received at `stamp`."""
    while True:
        for held in await intake.next_commit():
            name: BatchName = held.name
            if held.stream == AGENT.name and name.lane == Lane.URGENT and _spans(held.head, stamp):
                return name


def _spans(head: bytes, stamp: int) -> bool:
    try:
        decoded = decode_head(head)
    except Refused:
        return False
    return decoded.first_ns <= stamp <= decoded.last_ns


def _whom(step: object, facts: Mapping[str, Any]) -> str:
    return " ".join(facts.get("confirm") or ()) if step == "receipt" else str(facts.get("broker") or "")
