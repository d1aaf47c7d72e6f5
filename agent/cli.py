"""The command `edgepost`: arguments to verbs, verbs to exit codes (`docs/commands.md`).

Every verb imports what it needs when it runs: `edgepost status` starts in a fraction of the time of `edgepost run`.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from agent import VERSION

USAGE: Final = 64  # sysexits.h, EX_USAGE
CONFIG: Final = 78  # sysexits.h, EX_CONFIG
STOPPED_READER: Final = 141  # 128 + SIGPIPE, as a shell shows a program whose reader went away
_PING_SECONDS: Final = 30.0

Act = Callable[[argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and give the exit code of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for a sign, and no crash
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _act(given)
        sys.stdout.flush()
    except BrokenPipeError:  # while acting, or while argparse prints its help: some versions let it through
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails too
        return STOPPED_READER
    return code


def _act(given: Sequence[str]) -> int:
    try:
        options = build_parser(given).parse_args(given)
    except SystemExit as stop:
        return USAGE if stop.code == 2 else int(stop.code or 0)
    act: Act = options.act
    return act(options)


def build_parser(given: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser; the verbs of collectors are loaded only if `given` begins with none of ours."""
    parser = argparse.ArgumentParser(
        prog="edgepost", description="The post at the edge: collects, keeps, forwards.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.set_defaults(act=lambda options: _version(parser, options))
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")
    for add in (_add_run, _add_check, _add_status, _add_tail, _add_ping, _add_parse, _add_demo):
        add(verbs)
    if not given or given[0] not in verbs.choices:
        _add_collector_verbs(verbs)
    return parser


def _add_collector_verbs(verbs: Verbs) -> None:
    from collectors.registry import COLLECTORS, load

    for collector in COLLECTORS:
        for command in collector.commands:
            load(command)(verbs)


def _version(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.version:
        print(f"edgepost {VERSION}")
        return 0
    parser.print_usage(sys.stderr)
    print("edgepost: give a verb; edgepost --help lists them", file=sys.stderr)
    return USAGE


def _verb(verbs: Verbs, name: str, *, summary: str, description: str) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=summary, description=description, allow_abbrev=False)


def _add_run(verbs: Verbs) -> None:
    verb = _verb(verbs, "run", summary="run the agent", description="Run the agent until SIGTERM or Ctrl-C.")
    verb.add_argument("config", metavar="CONFIG", help="the YAML file, usually /etc/edgepost/agent.yaml")
    verb.set_defaults(act=_run)


def _run(options: argparse.Namespace) -> int:
    from pathlib import Path

    from agent.run import main as run
    from agent.settings import load
    from wire.service import raise_file_limit
    from wire.yaml import ConfigError

    try:
        settings = load(Path(options.config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return CONFIG
    raise_file_limit()
    return run(settings)


def _add_check(verbs: Verbs) -> None:
    verb = _verb(verbs, "check", summary="check a configuration", description="Check a YAML file; list every mistake.")
    verb.add_argument("config", metavar="CONFIG", help="the YAML file")
    verb.set_defaults(act=_check)


def _check(options: argparse.Namespace) -> int:
    from agent.check import check

    return check(options.config)


def _add_socket(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--socket", metavar="PATH", help="of the agent; else EDGEPOST_SOCKET, else the packaged place")


def _add_status(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "status",
        summary="how the agent is, and what to do",
        description="Show how the agent is. Exit code: 0 healthy, 1 degraded, 2 down or no agent answers.",
    )
    verb.add_argument("--json", action="store_true", help="print the facts as one JSON object")
    verb.add_argument("--watch", action="store_true", help="show it anew every two seconds")
    _add_socket(verb)
    verb.set_defaults(act=_status)


def _status(options: argparse.Namespace) -> int:
    from agent.ask import socket_path
    from agent.client import show_status

    return show_status(socket_path(options.socket), as_json=options.json, is_watching=options.watch)


def _add_tail(verbs: Verbs) -> None:
    verb = _verb(verbs, "tail", summary="rows as they come", description="Show rows as the agent takes them.")
    verb.add_argument("stream", metavar="STREAM", nargs="?", help="only this stream; else all")
    verb.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="only rows whose column has this value (as --json shows it; null for none); all given must hold",
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object a row")
    _add_socket(verb)
    verb.set_defaults(act=_tail)


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return column, value


def _tail(options: argparse.Namespace) -> int:
    from agent.ask import socket_path
    from agent.client import show_tail

    return show_tail(socket_path(options.socket), stream=options.stream, where=options.where, as_json=options.json)


def _add_ping(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "ping",
        summary="send one row, wait for its receipt",
        description="Send one urgent row and show each step of its way. Exit code: 0 receipted, 1 not in time, 2 no agent.",
    )
    verb.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=_PING_SECONDS, help="how long to wait (default 30)"
    )
    _add_socket(verb)
    verb.set_defaults(act=_ping)


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to 600")
    return seconds


def _ping(options: argparse.Namespace) -> int:
    from agent.ask import socket_path
    from agent.client import show_ping

    return show_ping(socket_path(options.socket), timeout_seconds=options.timeout)


def _add_parse(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "parse",
        summary="which row each line becomes, and why",
        description="Show which row each line of a file becomes, and why. Malformed lines are rows too: exit code 0.",
    )
    verb.add_argument("file", metavar="FILE", help="a file, or - for standard input")
    verb.add_argument("--stream", default="syslog", help="the collector that would have read it (default syslog)")
    verb.add_argument("--json", action="store_true", help="print one JSON object a line, keyed by column")
    verb.add_argument("--zone", help="of times that name none, such as Europe/Berlin (default UTC)")
    verb.add_argument("--encoding", help="of messages that are not UTF-8 (default windows-1258)")
    verb.add_argument("--received", metavar="TIME", help="as if received then: 2026-01-31T08:00:00Z (default now)")
    verb.add_argument("--config", metavar="FILE", help="take the collector's settings from this YAML")
    verb.add_argument("--name", help="of the collector in it (default: the first of its kind)")
    verb.set_defaults(act=_parse)


def _parse(options: argparse.Namespace) -> int:
    from agent.parse import parse

    return parse(options)


def _add_demo(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "demo",
        summary="the whole way on this machine",
        description="Run a broker, an agent and a receiver in a temporary folder and watch rows arrive.",
    )
    verb.add_argument("--seconds", metavar="N", type=float, help="end after N seconds (default: at Ctrl-C)")
    verb.add_argument("--keep", action="store_true", help="keep the temporary folder")
    verb.set_defaults(act=_demo)


def _demo(options: argparse.Namespace) -> int:
    from agent.demo import demo

    return demo(seconds=options.seconds, is_kept=options.keep)


if __name__ == "__main__":
    sys.exit(main())
