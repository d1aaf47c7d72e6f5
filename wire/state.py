"""The retained state of a sender: its birth, its will, and what it still holds.

    [1, {state, epoch, connection, current, version, health, spans, confirmed, sent_ns}]    MessagePack

`epoch` and `connection` together name the connection that speaks. They stay as they are for its length, because the
will was given to the broker when it began; `current` follows the store.

Because the state names the first held and the last committed seq of each epoch and lane, a hole at the center is
waiting, declared lost, or an alarm, and never a guess (`docs/wire-format.md`, section "State").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from wire.decode import (
    LIMIT,
    SIGNED,
    UNDECODABLE,
    UNSIGNED,
    Refused,
    read_bytes,
    read_integer,
    read_name,
    read_text,
    unpack,
)
from wire.names import EPOCH_BYTES, LANES, MAX_SEQ

VERSION: Final = 1
ONLINE: Final = "online"
OFFLINE: Final = "offline"
MAX_STATE: Final = 1 << 20
MAX_SPANS: Final = 16_384
MAX_STREAMS: Final = 256
_MAX_TEXT: Final = 256

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
        epoch: the sender's when this connection was opened.
        connection: counts the sender's connections; with `epoch` it matches an `offline` to its `online`.
        current: the epoch under which batches are named now; empty when it is still `epoch`.
        health: `healthy`, `degraded` or `down`, empty when not told.
        spans: one for each epoch and lane that has batches, oldest first.
        confirmed: rows whose custody ended with a receipt, by stream, since the account began.
        sent_ns: the sender's clock. ns UTC.
    """

    online: bool
    epoch: bytes
    connection: int
    current: bytes = b""
    version: str = ""
    health: str = ""
    spans: tuple[Span, ...] = ()
    confirmed: Mapping[str, int] = field(default_factory=dict)
    sent_ns: int = 0

    @property
    def naming(self) -> bytes:
        """The epoch under which batches are named now."""
        return self.current or self.epoch


def encode_state(state: State) -> bytes:
    """Encode a state, with the newest `MAX_SPANS` spans."""
    said: dict[str, object] = {
        "state": ONLINE if state.online else OFFLINE,
        "epoch": state.epoch,
        "connection": state.connection,
        "version": state.version,
        "health": state.health,
        "spans": state.spans[-MAX_SPANS:],
        "confirmed": dict(state.confirmed),
        "sent_ns": state.sent_ns,
    }
    if state.current:
        said["current"] = state.current
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
        epoch=read_bytes(said.get("epoch"), "epoch", EPOCH_BYTES),
        connection=read_integer(said.get("connection"), "connection", UNSIGNED),
        current=read_bytes(said["current"], "current", EPOCH_BYTES) if "current" in said else b"",
        version=read_text(said.get("version", ""), "version"),
        health=read_text(said.get("health", ""), "health"),
        spans=_read_spans(said.get("spans", [])),
        confirmed=_read_confirmed(said.get("confirmed", {})),
        sent_ns=read_integer(said.get("sent_ns", 0), "sent_ns", SIGNED),
    )


def is_gone(last_online: State | None, offline: State) -> bool:
    """Tell whether an `offline` counts: only for the connection that was last seen `online`.

    The will of a frozen connection arrives after the birth of the next one and stays retained; without this rule a
    living sender would be shown as gone. Where no `online` has been seen, nothing contradicts the `offline`.
    """
    if offline.online:
        return False
    return last_online is None or (offline.epoch, offline.connection) == (last_online.epoch, last_online.connection)


def _read_spans(found: Any) -> tuple[Span, ...]:
    if not isinstance(found, list):
        raise Refused(UNDECODABLE, "spans is no list")
    return tuple(_read_span(entry) for entry in found)


def _read_span(entry: Any) -> Span:
    if not isinstance(entry, list) or len(entry) != len(Span._fields):
        raise Refused(UNDECODABLE, "a span is not [epoch, lane, first_held, last]")
    epoch, lane, first_held, last = entry
    span = Span(
        read_bytes(epoch, "epoch", EPOCH_BYTES),
        read_integer(lane, "lane", range(len(LANES))),
        read_integer(first_held, "first_held", range(1, MAX_SEQ + 2)),
        read_integer(last, "last", range(MAX_SEQ + 1)),
    )
    if span.first_held > span.last + 1:
        raise Refused(UNDECODABLE, "a span begins after its end")
    return span


def _read_confirmed(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or len(found) > MAX_STREAMS:
        raise Refused(UNDECODABLE, "confirmed is no map of streams")
    return {read_name(stream, "stream"): read_integer(rows, "rows", UNSIGNED) for stream, rows in found.items()}
