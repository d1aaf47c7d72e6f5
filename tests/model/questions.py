"""What is asked of a world at its end. Each question raises `Violation` with the first batch that has no good answer."""

from collections import Counter

from model.parties import Violation, origin_of
from model.world import World


def ask_all(world: World) -> None:
    nothing_waits(world)
    nothing_twice(world)
    no_silent_loss(world)
    ledgers_agree(world)


def nothing_waits(world: World) -> None:
    """Whoever still holds something has parked it."""
    for sender in world.senders:
        waiting = set(sender.store.held) - sender.store.parked
        if waiting:
            raise Violation(f"{sender.name} still holds {len(waiting)} batches: {world.story}")


def nothing_twice(world: World) -> None:
    for (name, _), times in Counter(world.center.disk.sink).items():
        if times > 1:
            raise Violation(f"{name} is in the sink {times} times: {world.story}")


def no_silent_loss(world: World) -> None:
    """Each batch is in the sink, kept as refused, in a store, declared lost, or known to be missing.

    The one exception is inherent: what a disk took with itself before anybody had heard of it.
    """
    disk = world.center.disk
    safe = {*disk.sink, *disk.refused}
    for sender in world.senders:
        safe |= sender.store.keys() | sender.store.refused
    for key in world.truth.keys() - safe:
        name, _ = key
        place = (name.epoch, name.lane)
        is_missing = name.seq <= disk.heard.get(place, 0) and not disk.has(name)
        is_unheard = name.seq > world.center.told.get(place, 0) and key in world.rolled_back
        if not (name in disk.declared or is_missing or is_unheard):
            raise Violation(f"{name} of {world.truth[key][0]} is lost in silence: {world.story}")


def ledgers_agree(world: World) -> None:
    """At the agent: received = confirmed + held + evicted + rejected. At the center: what was confirmed has arrived.

    An older copy of a store, and a clone, begin an account of their own; so the sums are asked where neither was.
    """
    if world.fate != "calm":
        return
    disk = world.center.disk
    arrived = set(disk.sink)
    for sender in world.senders:
        account, own = sender.store.account, sender.name
        held = sum(one.rows for one in sender.store.held.values() if origin_of(one) == own)
        ended = {what: account.get((own, what), 0) for what in ("confirmed", "evicted", "rejected")}
        received = sum(rows for origin, rows in world.truth.values() if origin == own)
        if not received == account.get((own, "received"), 0) == held + sum(ended.values()):
            raise Violation(f"the account of {own} does not close: {received} rows, {account}: {world.story}")
        elsewhere = sum(rows for key, (origin, rows) in world.truth.items() if origin == own and key not in arrived)
        if disk.rows.get(own, 0) != received - elsewhere:
            raise Violation(f"the center counts {disk.rows.get(own, 0)} rows of {own}: {world.story}")
        if not world.gateways and disk.rows.get(own, 0) < ended["confirmed"]:
            raise Violation(f"{own} counts more confirmed rows than the center committed: {world.story}")
