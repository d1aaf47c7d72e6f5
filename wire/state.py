"""State: whether a sender is there, and from which to which seq it has committed. So a hole at the center is
waiting, declared, or an alarm.

    [1, map]      retained on the sender's state topic, and its will; `docs/wire-format.md`, section "State"
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from wire.batch import MAX_PAYLOAD, Refused, unpack
from wire.names import EPOCH_BYTES, is_name

VERSION: Final = 1
MAX_SPANS: Final = 256

_encode = msgspec.msgpack.Encoder().encode


class Span(NamedTuple):
    """What one epoch holds in one lane: seq `first_held` to `last`; nothing is held when first_held is last + 1."""

    epoch: bytes
    lane: int
    first_held: int
    last: int


@dataclass(frozen=True, slots=True)
class State:
    """What a sender says of itself.

    Attributes:
        epoch: current epoch of its store; with `connection` it tells one life of a connection from another.
        connection: counts the connections of that epoch.
        confirmed: rows whose custody has ended by a receipt, per stream.
    """

    online: bool
    epoch: bytes
    connection: int
    sent_ns: int = 0
    version: str = ""
    health: str = ""
    spans: tuple[Span, ...] = ()
    confirmed: dict[str, int] = field(default_factory=dict)


def encode_state(state: State) -> bytes:
    """Encode a state message or a will."""
    values = {name: getattr(state, name) for name in State.__slots__ if name != "online"}
    values["state"] = "online" if state.online else "offline"
    return _encode((VERSION, values))


def decode_state(payload: bytes) -> State:
    """Read a state message.

    Raises:
        Refused: anything else.
    """
    match unpack(payload, MAX_PAYLOAD):
        case [
            1,
            {"state": "online" | "offline" as state, "epoch": bytes(epoch), "connection": int(number)} as said,
            *_,
        ]:
            if len(epoch) == EPOCH_BYTES:
                return State(
                    online=state == "online",
                    epoch=epoch,
                    connection=number,
                    sent_ns=said.get("sent_ns") if isinstance(said.get("sent_ns"), int) else 0,
                    version=str(said.get("version", ""))[:32],
                    health=str(said.get("health", ""))[:32],
                    spans=_read_spans(said.get("spans")),
                    confirmed=_read_confirmed(said.get("confirmed")),
                )
    raise Refused("undecodable", "not [1, state]")


def _read_spans(said: Any) -> tuple[Span, ...]:
    spans = []
    for entry in said[:MAX_SPANS] if isinstance(said, list) else ():
        match entry:
            case [bytes(epoch), int(lane), int(first), int(last)] if len(epoch) == EPOCH_BYTES and 0 <= lane <= 2:
                spans.append(Span(epoch, lane, first, last))
    return tuple(spans)


def _read_confirmed(said: Any) -> dict[str, int]:
    if not isinstance(said, dict):
        return {}
    return {name: rows for name, rows in said.items() if is_name(name) and isinstance(rows, int)}


def is_gone(last_online: State | None, offline: State) -> bool:
    """Tell whether an `offline` is about the connection that was last online.

    A frozen connection's will arrives after the new birth, and stays retained: it must not count.
    """
    return last_online is None or (last_online.epoch, last_online.connection) == (offline.epoch, offline.connection)
