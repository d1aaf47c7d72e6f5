"""`edgepost-center receive CONFIG|flags` and `edgepost-center ledger DIR`."""

import argparse
import json
import socket
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

CLOSED: Final = 0
MISSING: Final = 1
USAGE: Final = 64
DISK: Final = 74
CONFIG: Final = 78


ASK_SECONDS: Final = 40.0  # more than the receiver gives itself


class NoAnswer(Exception):
    """A receiver runs on the folder, and does not answer."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="edgepost-center", description="The receiving side of edgepost.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    receive = verbs.add_parser("receive", help="receive batches, commit them to a sink, receipt them")
    receive.add_argument("config", nargs="?", help="a YAML file; without it the flags say everything")
    receive.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="URL of the broker")
    receive.add_argument("--sink", choices=["ndjson", "batches", "stdout"], default="ndjson")
    receive.add_argument("--dir", default="/var/lib/edgepost-center", help="folder of files and memory")
    receive.add_argument("--root", default="edgepost", help="first level of the topics")
    receive.add_argument("--group", default="center", help="the group whose receipts these are")
    receive.add_argument("--name", default="center", help="the receiver's own name")
    ledger = verbs.add_parser("ledger", help="show what arrived, waits, was declared lost, is missing")
    ledger.add_argument("dir", help="the receiver's folder")
    ledger.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; give the exit code."""
    given = _parser().parse_args(arguments)
    return _ledger(Path(given.dir), as_json=given.json) if given.verb == "ledger" else _receive(given)


def _receive(given: argparse.Namespace) -> int:
    from center import receive, settings
    from wire.client import Broker
    from wire.yaml import ConfigError

    try:
        if given.config is not None:
            return receive.main(settings.load(Path(given.config)))
        return receive.main(
            settings.Settings(
                version=1,
                brokers=(Broker(url=given.broker),),
                root=given.root,
                group=given.group,
                receiver=given.name,
                sinks=(settings.SinkSettings(sink=given.sink, dir=given.dir),),
            )
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
    except ValueError as error:
        print(f"edgepost-center: {error}", file=sys.stderr)
        return USAGE
    return CONFIG


def _ledger(folder: Path, *, as_json: bool) -> int:
    from center.memory import Unknown
    from center.show import show_ledger

    try:
        ledger = _ask(folder / "center.sock") or _read(folder)
    except (OSError, sqlite3.Error, Unknown, NoAnswer) as error:
        print(f"edgepost-center: {folder}: {error}", file=sys.stderr)
        return DISK
    print(json.dumps(ledger) if as_json else show_ledger(ledger))
    return CLOSED if ledger["closed"] else MISSING


def _ask(path: Path) -> dict[str, Any] | None:
    """Ask the receiver that runs; None when none does.

    Raises:
        NoAnswer: one runs, and does not answer, or cannot.
    """
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(ASK_SECONDS)
        try:
            asked.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        try:
            asked.sendall(b"ledger\n")
            with asked.makefile("rb") as answer:
                line = answer.readline()
        except TimeoutError:
            raise NoAnswer(f"the receiver has not answered for {ASK_SECONDS:.0f} s: is its disk stuck?") from None
    if not line.endswith(b"\n"):
        raise NoAnswer("the receiver ended without an answer; look into its journal, and ask again")
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        raise NoAnswer(str(found["error"]))
    return found


def _read(folder: Path) -> dict[str, Any]:
    from center.ledger import make_ledger
    from center.memory import Memory

    if not (folder / "receive.db").exists():
        raise FileNotFoundError("no receive.db here: is this the receiver's folder?")
    try:
        memory = Memory(folder / "receive.db")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise NoAnswer("a receiver works on it and does not answer at its socket; look into its journal") from None
        raise
    try:
        return make_ledger(memory)
    finally:
        memory.close()


if __name__ == "__main__":
    sys.exit(main())
