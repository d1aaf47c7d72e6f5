"""Measure the whole agent beside rsyslog on the same machine, with the same lines, in the same run.

    python bench/run.py [--quick] [--only CASE ...] [--record] [--dir DIR]

Prints a table for each case; `--record` (make bench RECORD=1) appends them to bench/RESULTS.md with machine, commit,
command and date. docs/performance.md says what each number means.
"""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backlog
import cases
from cases import Numbers
from lines import describe
from measure import BENCH, commit, machine
from peers import Rsyslog
from rig import Edgepost
from table import BARS, show

RESULTS = BENCH / "RESULTS.md"
DEFAULT_BUFFER = 212_992 // 2  # net.core.rmem_default: what a socket has that asks for nothing (the kernel doubles it)

Measure = Callable[["Contestant"], Numbers]


@dataclass(frozen=True)
class Contestant:
    """How one of those that are compared is started for a case."""

    name: str
    start: Callable[[Path, int], Edgepost | Rsyslog]


def _rsyslog(queue: str) -> Contestant:
    def start(folder: Path, receive_buffer: int) -> Rsyslog:
        return Rsyslog(folder, queue=queue, receive_buffer=receive_buffer if receive_buffer > DEFAULT_BUFFER else None)

    return Contestant(f"rsyslog {queue}", start)


CONTESTANTS = (
    Contestant("edgepost", lambda folder, size: Edgepost(folder, receive_buffer=size)),
    _rsyslog("disk"),
    _rsyslog("assisted"),
)


@dataclass(frozen=True)
class Case:
    """One case: what is measured, and with which receive buffer."""

    name: str
    measure: Callable[[Edgepost | Rsyslog, bool], Numbers]
    receive_buffer: int = 8 << 20


def _ladder(*, quick: bool) -> dict[str, Any]:
    return {"seconds": 0.5, "tries": 1} if quick else {"seconds": 1.5, "tries": 2}


CASES = (
    Case("tcp-max", lambda one, quick: cases.tcp_max(one, count=500_000 if quick else 2_000_000)),
    Case("steady-5000", lambda one, quick: cases.steady(one, rate=5_000, seconds=5 if quick else 15)),
    Case("latency-5000", lambda one, quick: cases.latency(one, rate=5_000, seconds=5 if quick else 15)),
    Case("udp-max 8 MiB", lambda one, quick: cases.udp_max(one, start=100_000, **_ladder(quick=quick))),
    Case(
        "udp-max default buffer",
        lambda one, quick: cases.udp_max(one, start=30_000, **_ladder(quick=quick)),
        DEFAULT_BUFFER,
    ),
    Case("idle", lambda one, quick: cases.idle(one, seconds=5 if quick else 25)),
)
START_UP = "start-up"


def run_case(case: Case, *, folder: Path, quick: bool) -> dict[str, Numbers]:
    """Measure one case with each contestant, started anew."""
    found = {}
    for contestant in CONTESTANTS:
        print(f"  {case.name}: {contestant.name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            one = contestant.start(Path(place), case.receive_buffer)
            try:
                found[contestant.name] = case.measure(one, quick)
            except (TimeoutError, RuntimeError) as error:
                print(f"  {case.name}: {contestant.name} FAILED: {error}", file=sys.stderr, flush=True)
                found[contestant.name] = {"failed": 1.0}
            finally:
                one.stop()
    return found


def run_start_up(*, folder: Path, quick: bool) -> dict[str, Numbers]:
    """Start-up, without and with a backlog; there is nothing of rsyslog's to compare it with."""
    print(f"  {START_UP}: edgepost", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        batches = 50_000 if quick else 1_000_000
        return {"edgepost": backlog.start_up(Path(place), batches=batches, drain_seconds=5 if quick else 20)}


def head(folder: Path) -> str:
    """Where and what was measured."""
    command = " ".join(["python", "bench/run.py", *map(shlex.quote, sys.argv[1:])])
    root = "as root" if os.geteuid() == 0 else "not root: UDP receive buffers are what net.core.rmem_max grants"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"## {now}, commit {commit()}\n\n- `{command}`, {root}, files in {folder}\n- {machine()}\n- lines: {describe()}\n"


def main() -> int:
    """Run the cases that were asked for; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute or two instead of ten; for a first look")
    parser.add_argument(
        "--only", action="append", metavar="CASE", help="of " + ", ".join([*(c.name for c in CASES), START_UP])
    )
    parser.add_argument("--record", action="store_true", help=f"append to {RESULTS.name}")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where stores and queues lie")
    given = parser.parse_args()
    parts = [head(given.dir)]
    print(parts[0], flush=True)
    for case in CASES:
        if not given.only or case.name in given.only:
            found = run_case(case, folder=given.dir, quick=given.quick)
            parts.append(show(case.name, found, bars=BARS.get(case.name, {})))
            print(parts[-1], flush=True)
    if not given.only or START_UP in given.only:
        found = run_start_up(folder=given.dir, quick=given.quick)
        parts.append(show(START_UP, found, bars=BARS[START_UP]))
        print(parts[-1], flush=True)
    if given.record:
        with RESULTS.open("a", encoding="utf-8") as results:
            results.write("\n".join(parts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
