"""Settings of the forwarder, as they stand in the YAML."""

from typing import Annotated, Literal

import msgspec

from wire.client import Broker
from wire.yaml import Name

BROKER = "broker"  # the group that stands for the broker's own PUBACK


class ForwardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where batches go and whose word ends our custody.

    Attributes:
        root: first level of every topic.
        confirm: receiver groups that must all have receipted; `broker` alone for consumers that are not ours.
        brokers: tried in order; the next one when one cannot be reached or nobody confirms there.
        window_bytes: most bytes in flight without a receipt.
        encoding: `msgpack`, or `json` (bare NDJSON, only with `confirm: [broker]`).
        tier: 1 gateway, 2 server; custody only moves towards the center.
        stop_grace_seconds: how long a stop takes what was handed over (half of it at most) and waits for receipts.
    """

    root: Name = "edgepost"
    confirm: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=8)] = ("center",)
    brokers: Annotated[tuple[Broker, ...], msgspec.Meta(min_length=1, max_length=16)]
    window_bytes: Annotated[int, msgspec.Meta(ge=64 << 10, le=64 << 20)] = 1 << 20
    encoding: Literal["msgpack", "json"] = "msgpack"
    tier: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    stop_grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0

    def __post_init__(self) -> None:
        if BROKER in self.confirm and len(self.confirm) > 1:
            raise ValueError("confirm names [broker] and receiver groups; the broker's word needs no other, keep one")
        if len(set(self.confirm)) < len(self.confirm):
            raise ValueError("confirm names a group twice; name each once")
        if self.encoding == "json" and self.confirm != (BROKER,):
            raise ValueError("encoding json cannot be receipted; write `confirm: [broker]`, or `encoding: msgpack`")
