"""The receiver's settings: its YAML, or the same from flags."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from wire import yaml
from wire.client import Broker
from wire.names import is_name
from wire.yaml import Name


class SinkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rows go.

    Attributes:
        sink: `ndjson` (files of lines), `batches` (files of batches as they came) or `stdout` (at least once).
        dir: folder of the files, of `receive.db` and of the ledger's socket.
    """

    sink: Literal["ndjson", "batches", "stdout"] = "ndjson"
    dir: str = "/var/lib/edgepost-center"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver's YAML.

    Attributes:
        version: of this file's format.
        include: files that this one is laid over, read in their order; relative to this file.
        brokers: tried in order.
        site: receive this site only; default all.
        root: first level of every topic.
        group: whose word our receipts are; agents name it in `forward.confirm`.
        receiver: our own name, unique on the broker.
        sinks: where rows go; one.
        relays: senders that may carry other agents' batches.
    """

    version: Literal[1]
    include: tuple[str, ...] = ()
    brokers: Annotated[tuple[Broker, ...], msgspec.Meta(min_length=1, max_length=16)]
    site: Name | None = None
    root: Name = "edgepost"
    group: Name = "center"
    receiver: Name = "center"
    sinks: Annotated[tuple[SinkSettings, ...], msgspec.Meta(min_length=1)] = (SinkSettings(),)
    relays: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sinks) != 1:
            raise ValueError("sinks names more than one; feed a second one from a receiver with a group of its own")
        for name in (self.root, self.group, self.receiver, *self.relays, *([self.site] if self.site else [])):
            if not is_name(name):
                raise ValueError(f"{name!r} is no name: lower-case letters, digits and hyphens, at most 63")


def load(path: Path, *, env: Mapping[str, str] = os.environ) -> Settings:
    """Read a receiver's YAML.

    Raises:
        ConfigError: with every mistake in it.
    """
    return yaml.load(path, Settings, env=env)
