"""`edgepost ping`: the agent's half. One urgent row goes the whole way, and each step says when it was reached.

    put ──► taken ──► committed (the batch's name) ──► sent ──► PUBACK ──► receipt of each group
            intake    disk                             broker            center

Nothing here is special to the ping: the row takes the road of every other, so what it shows is what all rows meet.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from typing import Any, Final, NamedTuple

from agent.answer import Verb, refusal
from agent.buffer import Held
from agent.events import AGENT, row
from agent.forward import Forward
from agent.forward.settings import BROKER
from agent.intake import Intake
from collectors.sink import Lane
from wire.decode import Refused
from wire.head import decode_head
from wire.names import BatchName
from wire.receipts import COMMITTED, REPEAT

EVERY_SECONDS: Final = 1.0
DEFAULT_SECONDS: Final = 30.0
MOST_SECONDS: Final = 600.0


Steps = asyncio.Queue[tuple[str, int]]
"""The steps of a watched batch and their times, as they happen."""


class Step(NamedTuple):
    """One step: `taken`, `committed`, `sent`, `acked`, `receipt`, `done` or `timeout`; when; what to say of it."""

    step: str
    at_ns: int
    detail: str


def ping_verb(intake: Intake, forward: Forward, *, is_durable: Callable[[], bool]) -> Verb:
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
            yield refusal(f"timeout_seconds is no number up to {MOST_SECONDS:.0f}", is_usage=True)
            return
        now = time.monotonic()
        if now - last < EVERY_SECONDS:
            yield refusal("one ping a second is enough", "wait a second")
            return
        last = now
        try:
            async with asyncio.timeout(patience):
                async with aclosing(ping(intake, forward, is_durable=is_durable)) as steps:
                    async for step in steps:
                        yield json.dumps(step._asdict()).encode()
        except TimeoutError:
            yield json.dumps(Step("timeout", time.time_ns(), "")._asdict()).encode()

    return ping_once_a_second


async def ping(intake: Intake, forward: Forward, *, is_durable: Callable[[], bool]) -> AsyncGenerator[Step, None]:
    """Put one urgent row and follow it to its last receipt, or PUBACK where that is what counts."""
    one = row("ping", text="edgepost ping")
    stamp: int = one[1]
    named: asyncio.Future[tuple[BatchName, Steps]] = asyncio.get_running_loop().create_future()

    def look(batches: Sequence[Held]) -> None:
        """Find our batch in a commit, and watch it before it can be sent."""
        for held in batches:
            if not named.done() and held.stream == AGENT.name and _spans(held, stamp):
                named.set_result((held.name, watching.enter_context(forward.watch(held.name))))

    with ExitStack() as watching:
        intake.on_named.append(look)
        watching.callback(intake.on_named.remove, look)
        intake.sink("agent").put(AGENT, [one], lane=Lane.URGENT)
        yield Step("taken", stamp, "")
        name, steps = await named
        yield Step("committed", time.time_ns(), str(name) if is_durable() else f"{name}, in memory only")
        async for step in _follow(steps, forward):
            yield step


async def _follow(steps: Steps, forward: Forward) -> AsyncGenerator[Step, None]:
    """Give the steps of a watched batch until every group that must confirm it has."""
    awaited = set(forward.facts()["confirm"])
    while True:
        words, at_ns = await steps.get()
        step, *rest = words.split()
        if step == "receipt":
            yield Step(step, at_ns, " ".join(rest))
            if rest[-1] in {COMMITTED, REPEAT}:
                awaited.discard(rest[0])
        else:
            yield Step(step, at_ns, str(forward.facts()["broker"] or ""))
            if step == "acked":
                awaited.discard(BROKER)
        if not awaited:
            yield Step("done", at_ns, "")
            return


def _spans(held: Held, stamp: int) -> bool:
    """Tell whether a batch holds what was received at `stamp`."""
    try:
        head = decode_head(held.head)
    except Refused:
        return False
    return head.lane == Lane.URGENT and head.first_ns <= stamp <= head.last_ns
