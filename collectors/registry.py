"""The only list of collectors. A new one is its module and one line here.

Modules are named by import path and loaded when used, so an agent pays only for what its YAML turns on.
"""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from collectors.sink import Reason, Sink, Stream
from collectors.syslog import config as syslog
from collectors.syslog import reasons as syslog_reasons
from collectors.syslog import rows as syslog_rows

Collect = Callable[[Any, Sink], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Collector:
    """One kind of source.

    Attributes:
        name: the value of `collector:` in the YAML.
        config: a frozen, keyword-only msgspec Struct tagged with that name, with a unique `name` per instance.
        collect: "module:function" of the coroutine function `collect(config, sink)` that runs until cancelled.
        streams: what it puts.
        reasons: what it counts by.
        parse: "module:function" behind `edgepost parse`, or None.
        commands: "module:function" of each verb it adds to the command line.
    """

    name: str
    config: type[Any]
    collect: str
    streams: tuple[Stream, ...]
    reasons: tuple[Reason, ...] = ()
    parse: str | None = None
    commands: tuple[str, ...] = ()


COLLECTORS: tuple[Collector, ...] = (
    Collector(
        "syslog",
        config=syslog.Syslog,
        collect="collectors.syslog.collect:collect",
        streams=(syslog_rows.SYSLOG,),
        reasons=syslog_reasons.REASONS,
        parse="collectors.syslog.explain:explain",
    ),
)


def load(path: str) -> Any:
    """Import what a "module:attribute" path names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
