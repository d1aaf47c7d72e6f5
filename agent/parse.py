"""`edgepost parse`: which row each line of a file becomes, and why, by the very parser that the collector runs.

    FILE or - ──chunks──► the collector's `parse` (collectors/registry.py) ──► JSON by column, or text that explains
                                                                          └─► the rules of --config, if given ─┘

The collector frames and parses the chunks as it would a stream; a malformed line gives a row too, which is why this
ends with 0 however the lines look. The file may be larger than the memory.
"""

import argparse
import codecs
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from agent.cells import clean, pad
from agent.rules import Rules
from agent.rules.explain import Ruled, after_rules
from collectors.registry import COLLECTORS, Collector, load
from wire.render import render_row
from wire.text import read_rfc3339

USAGE: Final = 64
CONFIG: Final = 78
CHUNK_BYTES: Final = 64 << 10
RULES: Final = "@rules"
LANE: Final = "@lane"
_encode = msgspec.json.Encoder().encode


class Unparsable(Exception):
    """The request cannot be met; the text says why. `code` is the exit code."""

    def __init__(self, reason: str, code: int = USAGE) -> None:
        super().__init__(reason)
        self.code = code


def parse(options: argparse.Namespace) -> int:
    """Print what each line becomes; the options are those of `agent/cli.py`."""
    try:
        collector = _collector(options.stream)
        explain = load(str(collector.parse))
        settings = _settings(options, collector)
        with _opened(options.file) as file:
            explained = after_rules(explain(_chunks(file), **settings), _rules(options))
            _print(explained, as_json=options.json, is_live=options.file == "-")
    except Unparsable as error:
        print(f"edgepost parse: {clean(error)}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        pass
    return 0


def _collector(stream: str) -> Collector:
    """Find who makes a stream, by the stream's name or the collector's."""
    able = [one for one in COLLECTORS if one.parse is not None]
    for one in able:
        if stream == one.name or stream in {each.name for each in one.streams}:
            return one
    raise Unparsable(f"nothing parses {stream!r}; what can be parsed: {', '.join(one.name for one in able)}")


def _settings(options: argparse.Namespace, collector: Collector) -> dict[str, Any]:
    """Check the flags here, where a mistake can be said, and give them as the collector's arguments."""
    settings: dict[str, Any] = {"zone": options.zone, "encoding": options.encoding}
    if options.zone is not None:
        _check_zone(options.zone)
    if options.encoding is not None:
        _check_encoding(options.encoding)
    if options.received is not None:
        try:
            settings["received_ns"] = read_rfc3339(options.received)
        except ValueError as error:
            raise Unparsable(f"--received: {error}") from None
    if options.config is not None:
        settings["config"] = _config(Path(options.config), options.name, kind=collector)
    elif options.name is not None:
        raise Unparsable("--name names a collector of --config FILE, which is missing")
    return settings


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Unparsable(f"--zone: {zone!r} is no zone such as Europe/Berlin") from None


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise Unparsable(f"--encoding: {encoding!r} is unknown; such as windows-1258 or latin-1") from None


def _config(path: Path, name: str | None, *, kind: Collector) -> Any:
    """Take one collector's settings from an agent's YAML."""
    from agent.settings import load as load_settings
    from wire.yaml import ConfigError

    try:
        settings = load_settings(path)
    except (ConfigError, OSError) as error:
        raise Unparsable(f"{error}", CONFIG) from None
    ours = [one for one in settings.collectors if isinstance(one, kind.config)]
    chosen = [one for one in ours if name is None or one.name == name]
    if not chosen:
        known = ", ".join(one.name for one in ours) or "none"
        raise Unparsable(f"{path} has no such collector of kind {kind.name}; it has: {known}", CONFIG)
    return chosen[0]


def _rules(options: argparse.Namespace) -> Rules | None:
    """Take the rules of a configuration that `_config` has checked; None without one, or without rules in it."""
    from agent.settings import load as load_settings

    rules = Rules(load_settings(Path(options.config)).rules) if options.config is not None else None
    return rules or None


def _opened(name: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        raise Unparsable(f"{name}: {error.strerror}") from None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Read a line at a time, so that who types sees each row at once; a long one in pieces."""
    return iter(lambda: file.readline(CHUNK_BYTES), b"")


def _print(explained: Iterable[Ruled], *, as_json: bool, is_live: bool) -> None:
    """Write each row as it comes; to a terminal nothing but ASCII in JSON, so that no line can command it."""
    is_terminal = sys.stdout.isatty()
    out = sys.stdout.buffer
    for number, one in enumerate(explained, 1):
        row = {**render_row(one.stream.columns, one.row), **_ruling(one)}
        if not as_json:
            out.write("\n".join(_explanation(number, one, row=row)).encode("utf-8", "replace") + b"\n")
        elif is_terminal:
            out.write(json.dumps(row).encode() + b"\n")
        else:
            out.write(_encode(row) + b"\n")
        if is_live:
            out.flush()
    out.flush()


def _ruling(one: Ruled) -> dict[str, Any]:
    """What rules did, under keys that no column can have; nothing where there are none."""
    if one.hits is None:
        return {}
    return {RULES: [hit.rule for hit in one.hits], LANE: None if one.lane is None else one.lane.name.lower()}


def _explanation(number: int, one: Ruled, *, row: dict[str, Any]) -> Iterator[str]:
    """The row in words: stream, lane, reasons and rules, then each column that is not null."""
    yield f"{number}: {one.stream.name}, {'dropped' if one.lane is None else f'lane {one.lane.name.lower()}'}"
    for why in one.why:
        yield f"   because   {clean(why)}"
    for hit in one.hits or ():
        yield f"   rule      {hit.rule}: {hit.do}"
    width = max(map(len, row))
    for column, value in row.items():
        if value is not None and column not in {RULES, LANE}:
            yield f"   {pad(column, width)}  {clean(value if isinstance(value, str) else json.dumps(value))}"
