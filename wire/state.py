"""The retained state of a sender: its birth, its will, and what it still holds.

    [1, {state, epoch, connection, version, health, spans, confirmed, sent_ns}]    MessagePack

Because the state names the first held and the last committed seq of each epoch and lane, a hole at the center is
waiting, declared lost, or an alarm, and never a guess (`docs/wire-format.md`, section "State").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from wire.names import EPOCH_BYTES, LANES, MAX_SEQ, is_name
from wire.refused import LIMIT, UNDECODABLE, Refused, unpack

VERSION: Final = 1
ONLINE: Final = "online"
OFFLINE: Final = "offline"
MAX_STATE: Final = 1 << 20
MAX_SPANS: Final = 16_384
MAX_STREAMS: Final = 256
_MAX_TEXT: Final = 256
_UNSIGNED: Final = range(1 << 63)
_SIGNED: Final = range(-(1 << 63), 1 << 63)

_encode = msgspec.msgpack.Encoder().encode


class Span(NamedTuple):
    """What a store holds of one epoch and lane: `first_held` to `last`; `first_held = last + 1` when nothing."""

    epoch: bytes
    lane: int
    first_held: int
    last: int


@dataclass(frozen=True, slots=True)
class State:
    """What a sender says about itself.

    Attributes:
        online: False in a will and in the farewell.
        epoch: the sender's current one.
        connection: counts the connections within that epoch; with it an `offline` is matched to its `online`.
        health: `healthy`, `degraded` or `down`, empty when not told.
        spans: one for each epoch and lane that has batches, oldest first.
        confirmed: rows whose custody ended with a receipt, by stream, since the account began.
        sent_ns: the sender's clock. ns UTC.
    """

    online: bool
    epoch: bytes
    connection: int
    version: str = ""
    health: str = ""
    spans: tuple[Span, ...] = ()
    confirmed: Mapping[str, int] = field(default_factory=dict)
    sent_ns: int = 0


def encode_state(state: State) -> bytes:
    """Encode a state, with the newest `MAX_SPANS` spans."""
    said = {
        "state": ONLINE if state.online else OFFLINE,
        "epoch": state.epoch,
        "connection": state.connection,
        "version": state.version,
        "health": state.health,
        "spans": state.spans[-MAX_SPANS:],
        "confirmed": dict(state.confirmed),
        "sent_ns": state.sent_ns,
    }
    return _encode((VERSION, said))


def decode_state(payload: bytes) -> State:
    """Read a state; unknown keys are ignored, and only `state`, `epoch` and `connection` must be there.

    Raises:
        Refused: anything else.
    """
    if len(payload) > MAX_STATE:
        raise Refused(LIMIT, "the state is larger than 1 MiB")
    parts = unpack(payload, array=MAX_SPANS, text=_MAX_TEXT)
    if not isinstance(parts, list) or len(parts) != 2 or parts[0] is not VERSION or not isinstance(parts[1], dict):
        raise Refused(UNDECODABLE, "not a state of version 1")
    said = parts[1]
    if said.get("state") not in (ONLINE, OFFLINE):
        raise Refused(UNDECODABLE, "state is neither online nor offline")
    return State(
        online=said["state"] == ONLINE,
        epoch=_epoch(said.get("epoch")),
        connection=_integer(said.get("connection"), _UNSIGNED),
        version=_text(said.get("version", "")),
        health=_text(said.get("health", "")),
        spans=_spans(said.get("spans", [])),
        confirmed=_confirmed(said.get("confirmed", {})),
        sent_ns=_integer(said.get("sent_ns", 0), _SIGNED),
    )


def is_gone(last_online: State | None, offline: State) -> bool:
    """Tell whether an `offline` counts: only for the connection that was last seen `online`.

    The will of a frozen connection arrives after the birth of the next one and stays retained; without this rule a
    living sender would be shown as gone.
    """
    if offline.online or last_online is None:
        return False
    return (offline.epoch, offline.connection) == (last_online.epoch, last_online.connection)


def _spans(found: Any) -> tuple[Span, ...]:
    if not isinstance(found, list):
        raise Refused(UNDECODABLE, "spans is no list")
    return tuple(_span(entry) for entry in found)


def _span(entry: Any) -> Span:
    if not isinstance(entry, list) or len(entry) != len(Span._fields):
        raise Refused(UNDECODABLE, "a span is not [epoch, lane, first_held, last]")
    span = Span(
        _epoch(entry[0]),
        _integer(entry[1], range(len(LANES))),
        _integer(entry[2], range(1, MAX_SEQ + 2)),
        _integer(entry[3], range(MAX_SEQ + 1)),
    )
    if span.first_held > span.last + 1:
        raise Refused(UNDECODABLE, "a span begins after its end")
    return span


def _confirmed(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or len(found) > MAX_STREAMS or not all(map(is_name, found)):
        raise Refused(UNDECODABLE, "confirmed is no map of streams")
    return {stream: _integer(rows, _UNSIGNED) for stream, rows in found.items()}


def _epoch(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != EPOCH_BYTES:
        raise Refused(UNDECODABLE, "an epoch is not 16 bytes")
    return value


def _integer(value: Any, within: range) -> int:
    if type(value) is not int or value not in within:
        raise Refused(UNDECODABLE, "an integer is out of its range")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(UNDECODABLE, "a text is no str")
    return value
