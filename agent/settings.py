"""The agent's settings: what may stand in its YAML, at which defaults, and where things live."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.buffer.rows import BufferSettings
from agent.forward.settings import ForwardSettings
from collectors.registry import COLLECTORS
from wire import yaml
from wire.names import is_name

DEFAULT_PATH: Final = "/etc/edgepost/agent.yaml"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent's YAML.

    Attributes:
        version: of this file's format; 1.
        agent: our name: MQTT user and certificate CN; lower-case letters, digits, hyphens.
        site: where we stand; the same characters.
        state_dir: where the buffer lives; default $STATE_DIRECTORY, else /var/lib/edgepost.
        socket: where `edgepost status` asks; default $RUNTIME_DIRECTORY/status.sock, else /run/edgepost/status.sock.
        buffer: how much it may take.
        forward: where batches go.
        collectors: what is collected, each with a unique name.
    """

    version: int
    agent: str
    site: str
    state_dir: str = ""
    socket: str = ""
    buffer: BufferSettings = BufferSettings()
    forward: ForwardSettings = ForwardSettings()
    collectors: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.version != 1:
            raise ValueError("version is 1")
        for key in ("agent", "site"):
            if not is_name(getattr(self, key)):
                raise ValueError(f"{key} is lower-case letters, digits and hyphens, at most 63")
        if not self.forward.brokers:
            raise ValueError("forward.brokers names at least one broker")


def load(path: Path, *, env: Mapping[str, str] = os.environ) -> Settings:
    """Read an agent's YAML.

    Raises:
        ConfigError: with every mistake in it.
    """
    kinds = {collector.name: collector.config for collector in COLLECTORS}
    settings = yaml.load(path, Settings, kinds=kinds, env=env)
    return msgspec.structs.replace(
        settings,
        state_dir=settings.state_dir or env.get("STATE_DIRECTORY", "/var/lib/edgepost").split(":")[0],
        socket=settings.socket or socket_path(env),
    )


def socket_path(env: Mapping[str, str]) -> str:
    """Where a client verb looks for the agent's socket."""
    return env.get("EDGEPOST_SOCKET") or f"{env.get('RUNTIME_DIRECTORY', '/run/edgepost').split(':')[0]}/status.sock"
