"""What failed before is tried again, one batch at a time: parked batches, and origins that are held back.

A flapping link or a receiver with other settings must not keep a healthy batch here for ever. A trial is alone on the
wire, and nothing is called silent while it waits for its receipt.
"""

import time
from typing import Final

from agent.buffer.rows import Held
from agent.forward.publish import Publisher
from agent.forward.sender import RETRY_SECONDS, Sender

TRIAL_SECONDS: Final = 60.0  # without the last receipt: it has failed again


async def try_parked(sender: Sender, publisher: Publisher, *, limit_bytes: int | None) -> None:
    """Send the next parked batch, alone, if it is time and none is on its way.

    Args:
        sender: whose batches.
        publisher: of the connection.
        limit_bytes: what the broker takes; larger ones are left where they are.
    """
    now = time.monotonic()
    if sender.trial is not None:
        if now - sender.trial.first_sent < TRIAL_SECONDS:
            return
        sender.remove(sender.trial)  # it stays parked
    if now < sender.retry_at:
        return
    held = await sender.buffer.next_parked(after=sender.retry_after, limit_bytes=limit_bytes)
    if held is None:
        if not sender.retry_from:
            sender.retry_at = now + RETRY_SECONDS
        sender.retry_after = sender.retry_from = 0
        return
    sender.retry_after = held.key
    sender.wake.set()  # there may be more
    if held.name in sender.window.flights or sender.origins.of(held) in sender.origins.held_back:
        return
    sender.trial = sender.window.add(held, now, is_trial=True)
    await publisher.publish_alone(sender.trial)


async def try_origins(sender: Sender, publisher: Publisher) -> None:
    """Send one batch of each origin whose time has come; hold back those whose trial nobody answers."""
    now, origins, window = time.monotonic(), sender.origins, sender.window
    for name in origins.on_trial:
        flight = window.flights.get(name)
        if flight is not None and now - flight.first_sent >= TRIAL_SECONDS:
            missing = ", ".join(sorted(flight.waiting))
            remedy = f"start a receiver that hears the site {origins.of(flight.held).site}"
            sender.hold_back(origins.of(flight.held), reason=f"no receipt from {missing}", remedy=remedy)
    for origin in origins.due(now):
        held = await sender.buffer.fetch(origins.held_back[origin].key)
        if not isinstance(held, Held) or origins.of(held) != origin:
            origins.forget(origin)
            sender.rewind()
            continue
        origins.try_again(origin, held)
        await publisher.publish(window.add(held, now, is_trial=True))
