"""The verb `edgepost check`: every mistake in a YAML file, and what is valid and may still not be meant.

In: a path. Out: mistakes as `file:line:column: text`, the line, a caret, the remedy, and exit code 78; or a summary
with warnings and exit code 0. Nothing is bound or connected: ports, brokers and disks are states of a
running agent. Files that a listener names are read.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from agent.rules.describe import describe_rule, find_rule_warnings
from agent.settings import CONFIGURATION, Settings, load
from collectors.registry import COLLECTORS
from wire.text import printable
from wire.yaml import ConfigError

_SECRET_HERE: Final = re.compile(
    r"^[ \t-]*(password|passphrase|secret|token|community)[ \t]*:[ \t]*(?!null\b|~)[^$\s#]", re.MULTILINE
)


def check(path: str, *, env: Mapping[str, str] = os.environ) -> int:
    """Check one file, print what is found, give the exit code."""
    try:
        settings = load(Path(path), env=env, checks_files=True)
    except ConfigError as error:
        count = len(error.mistakes)
        print(error)
        print(f"{printable(path)}: {count} {'mistake' if count == 1 else 'mistakes'}", file=sys.stderr)
        return CONFIGURATION
    warnings = list(find_warnings(settings, Path(path)))
    for line in (*describe(settings), *(f"warning: {text}" for text in warnings)):
        print(printable(line))
    print(printable(f"{path}: ok" + (f", {len(warnings)} to look at" if warnings else "")))
    return 0


def describe(settings: Settings) -> Iterator[str]:
    """Say in a few lines what an agent with these settings would do."""
    yield f"agent {settings.agent} at site {settings.site}, buffer in {settings.state_dir}"
    for collector in settings.collectors:
        yield f"collects {collector.__struct_config__.tag} as {collector.name}"
    yield from map(describe_rule, settings.rules)
    forward = settings.forward
    brokers = ", then ".join(broker.url for broker in forward.brokers)
    yield f"forwards to {brokers}; custody ends when {' and '.join(forward.confirm)} confirmed"


def find_warnings(settings: Settings, path: Path) -> Iterator[str]:
    """Find what is valid and may still not be meant."""
    if not settings.collectors:
        yield "no collectors: only what the agent says about itself is sent"
    for collector in settings.collectors:
        for text in getattr(collector, "warnings", ()):
            yield f"{collector.name}: {text}"
    kinds = {type(collector) for collector in settings.collectors}
    collected = [stream for one in COLLECTORS if one.config in kinds for stream in one.streams]
    yield from find_rule_warnings(settings.rules, collected)
    for broker in settings.forward.brokers:
        if broker.url.startswith("mqtt://") and not _is_loopback(broker.host):
            yield f"{broker.url}: without TLS the rows and the password can be read on the way; use mqtts://"
    yield from _open_keys(settings)
    if settings.forward.confirm == ("broker",):
        yield "forward.confirm: [broker]: what the broker loses after its word is lost"
    yield from _open_secret(path)


def _open_secret(path: Path) -> Iterator[str]:
    if path.stat().st_mode & stat.S_IROTH and _SECRET_HERE.search(path.read_text(encoding="utf-8-sig")):
        yield f"{path}: everybody may read it, and it holds a secret; chmod o= it, or move the secret to a file of its own"


def _open_keys(settings: Settings) -> Iterator[str]:
    keys = {broker.key_file for broker in settings.forward.brokers if broker.key_file}
    for key in sorted(keys):
        if Path(key).stat().st_mode & stat.S_IROTH:
            yield f"{key}: everybody may read this key; chmod o= it"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
