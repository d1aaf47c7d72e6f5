"""The agent's settings: what may stand in its YAML, at which defaults, and where things live.

In: a path and the environment. Out: frozen structs, complete: places that the YAML leaves open are filled in.
The docstrings are the descriptions in `config/schema.json`; `config/agent.yaml` shows every option at its default.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union

import msgspec

from agent.buffer.rows import BufferSettings
from agent.forward.settings import ForwardSettings
from agent.rules.settings import Rule
from collectors.registry import COLLECTORS
from wire import yaml
from wire.yaml import Name
from wire.yaml.schema import json_schema

DEFAULT_PATH: Final = "/etc/edgepost/agent.yaml"
CONFIGURATION: Final = 78  # sysexits.h, EX_CONFIG

if TYPE_CHECKING:
    AnyCollector = Any
else:
    AnyCollector = Union[tuple(collector.config for collector in COLLECTORS)]  # noqa: UP007  built at run time


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent's YAML.

    Attributes:
        version: of this file's format.
        include: files that this one is laid over, read in their order; relative to this file.
        agent: our name: MQTT user and the CN of our certificate.
        site: where we stand.
        state_dir: where the buffer lives; else $STATE_DIRECTORY, else /var/lib/edgepost.
        socket: where `edgepost status` asks; else $RUNTIME_DIRECTORY/status.sock, else /run/edgepost/status.sock.
        buffer: how much may wait.
        forward: where batches go.
        rules: what is dropped, thinned out, masked or moved to another lane before it is buffered, in their order.
        collectors: what is collected, each with a unique name.
    """

    version: Literal[1]
    include: tuple[str, ...] = ()
    agent: Name
    site: Name
    state_dir: str = ""
    socket: str = ""
    buffer: BufferSettings = BufferSettings()
    forward: ForwardSettings
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=256)] = ()
    collectors: tuple[AnyCollector, ...] = ()


def load(path: Path, *, env: Mapping[str, str] = os.environ, checks_files: bool = False) -> Settings:
    """Read an agent's YAML; `checks_files` as in `wire.yaml.load`.

    Raises:
        ConfigError: with every mistake in it.
    """
    settings = yaml.load(path, Settings, env=env, checks_files=checks_files)
    return msgspec.structs.replace(
        settings,
        state_dir=settings.state_dir or env.get("STATE_DIRECTORY", "/var/lib/edgepost").split(":")[0],
        socket=settings.socket or f"{env.get('RUNTIME_DIRECTORY', '/run/edgepost').split(':')[0]}/status.sock",
    )


def socket_path(env: Mapping[str, str]) -> str:
    """Where a client verb looks for the agent's socket, when it is given no path."""
    return env.get("EDGEPOST_SOCKET") or f"{env.get('RUNTIME_DIRECTORY', '/run/edgepost').split(':')[0]}/status.sock"


def schema() -> str:
    """Give `config/schema.json`: the form of an agent's YAML, for editors."""
    return json.dumps(json_schema(Settings, title="edgepost agent"), indent=2) + "\n"


if __name__ == "__main__":  # make schema
    sys.stdout.write(schema())
