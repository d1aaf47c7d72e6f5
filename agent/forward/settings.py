"""Settings of the forwarder, as they stand in the YAML."""

from typing import Annotated, Literal

import msgspec

from wire.client import Broker
from wire.names import is_name

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
        stop_grace_seconds: how long a stop waits for receipts.
    """

    root: str = "edgepost"
    confirm: tuple[str, ...] = ("center",)
    brokers: tuple[Broker, ...] = ()
    window_bytes: Annotated[int, msgspec.Meta(ge=64 << 10, le=64 << 20)] = 1 << 20
    encoding: Literal["msgpack", "json"] = "msgpack"
    tier: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    stop_grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0

    def __post_init__(self) -> None:
        if not is_name(self.root):
            raise ValueError("root is lower-case letters, digits and hyphens")
        if not self.confirm or not all(map(is_name, self.confirm)):
            raise ValueError("confirm is a list of receiver groups, such as [center]")
        if BROKER in self.confirm and len(self.confirm) > 1:
            raise ValueError("confirm is either [broker] or receiver groups, not both")
        if self.encoding == "json" and self.confirm != (BROKER,):
            raise ValueError("encoding: json needs confirm: [broker], because nobody can receipt bare JSON")
