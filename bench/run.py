"""Measure the whole agent beside rsyslog and syslog-ng on the same machine, with the same lines, in the same run.

    python bench/run.py [--quick] [--only CASE ...] [--contestant NAME ...] [--record] [--dir DIR]

Prints a table for each case; `--record` (make bench RECORD=1) adds the run to bench/results.jsonl and makes
bench/RESULTS.md and the tables and plot of docs/performance.md anew, where each number is explained.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backlog
import cases
import medium
import outage
import report
from calibrate import calibrate
from cases import Numbers
from contest import DEFAULT_BUFFER, LARGE_BUFFER, Contestant, Setup
from contestants import Entry, entries, versions
from lines import describe
from measure import commit, machine
from processes import Cores, Part, cores
from results import Run, append
from table import FAILED, OURS

Rounds = dict[str, list[Numbers]]
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """One case: what is measured, and under which conditions.

    Attributes:
        measure: gives the numbers of a contestant; the flag asks for a short form.
        transport, mix: of the generator.
        rounds: how often, the contestants taking turns.
        is_on_one_core: a contestant has one core.
        has_far_end: what stands behind a contestant is there from the start.
        is_on_medium: a contestant's files lie on a file system of their own.
    """

    name: str
    measure: Callable[[Contestant, Part, bool], Numbers]
    transport: str = "tcp"
    mix: str = "servers"
    rounds: int = 1
    receive_buffer: int = LARGE_BUFFER
    is_on_one_core: bool = False
    has_far_end: bool = True
    is_on_medium: bool = False


def _ladder(*, quick: bool) -> dict[str, Any]:
    return {"seconds": 0.5, "tries": 1} if quick else {"seconds": 1.5, "tries": 2}


def _backlog(name: str, *, quick: bool) -> int:
    """Give the events of an outage: where each is a message of its own a tenth, it would take half an hour."""
    return (500_000 if quick else 10_000_000) // (10 if name == "syslog-ng MQTT" else 1)


CASES = (
    Case("tcp-max", lambda *a: cases.tcp_max(*a[:2], count=300_000 if a[2] else 2_000_000), rounds=ROUNDS),
    Case(
        "firewalls",
        lambda *a: cases.tcp_max(*a[:2], count=150_000 if a[2] else 1_000_000),
        mix="firewalls",
        rounds=ROUNDS,
        is_on_one_core=True,
    ),
    Case("steady-5000", lambda *a: cases.steady(*a[:2], rate=5_000, seconds=5 if a[2] else 15), rounds=ROUNDS),
    Case("latency-5000", lambda *a: cases.latency(*a[:2], rate=5_000, seconds=5 if a[2] else 15)),
    Case("udp-max 8 MiB", lambda *a: cases.udp_max(*a[:2], start=100_000, **_ladder(quick=a[2])), transport="udp"),
    Case(
        "udp-max default buffer",
        lambda *a: cases.udp_max(*a[:2], start=30_000, **_ladder(quick=a[2])),
        transport="udp",
        receive_buffer=DEFAULT_BUFFER,
    ),
    Case(
        "catch-up",
        lambda *a: outage.catch_up(*a[:2], count=_backlog(a[0].name, quick=a[2])),
        has_far_end=False,
    ),
    Case("medium", lambda *a: medium.written(*a[:2], seconds=5 if a[2] else 20), is_on_medium=True),
    Case("idle", lambda *a: cases.idle(a[0], seconds=5 if a[2] else 25)),
)
START_UP = "start-up"


class Sources:
    """The generator: one at a time, rendered once for as long as the cases want the same lines."""

    def __init__(self) -> None:
        self._kind = ("", "")
        self._part: Part | None = None

    @contextlib.contextmanager
    def aimed(self, case: Case, port: int) -> Iterator[Part]:
        """Give a generator that is connected to a port; one that was left in the middle of a run is ended."""
        if self._part is None or self._kind != (case.transport, case.mix):
            self.end()
            self._kind, self._part = (case.transport, case.mix), Part("generate.py", case.transport, "--mix", case.mix)
        try:
            self._part.ask(to=port)
            yield self._part
            self._part.ask(to=None)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End it."""
        if self._part is not None:
            self._part.end()
            self._part = None


@dataclass(frozen=True)
class Bench:
    """What a run holds while it goes on."""

    folder: Path
    cores: Cores
    contestants: list[Entry]
    sources: Sources
    is_quick: bool

    def case(self, case: Case) -> Rounds:
        """Measure one case with each contestant, in turn, started anew each time."""
        found: Rounds = {entry.name: [] for entry in self.contestants}
        for n in range(1 if self.is_quick else case.rounds):
            for entry in self.contestants:
                print(f"  {case.name}, round {n + 1}: {entry.name}", file=sys.stderr, flush=True)
                found[entry.name].append(self._once(case, entry))
        return found

    def _once(self, case: Case, entry: Entry) -> Numbers:
        with tempfile.TemporaryDirectory(dir=self.folder) as place, contextlib.ExitStack() as stack:
            try:
                own = stack.enter_context(medium.file_system(Path(place))) if case.is_on_medium else Path(place)
                one = entry.start(self._setup(case, own=own, beside=Path(place)))
                stack.callback(one.stop)
                with self.sources.aimed(case, one.port) as source:
                    return case.measure(one, source, self.is_quick)
            except (TimeoutError, RuntimeError, OSError) as error:
                print(f"  {case.name}: {entry.name} FAILED: {error}", file=sys.stderr, flush=True)
                said = " ".join(str(error).replace(str(Path.home()), "~").split())
                return {FAILED: f"{type(error).__name__}: {said[:200]}"}

    def _setup(self, case: Case, *, own: Path, beside: Path) -> Setup:
        return Setup(
            own,
            beside,
            self.cores.one if case.is_on_one_core else self.cores.all,
            receive_buffer=case.receive_buffer,
            has_far_end=case.has_far_end,
        )

    def start_up(self) -> Rounds:
        """Start-up, without and with a backlog: of edgepost alone, a peer has no backlog of batches."""
        print(f"  {START_UP}: {OURS}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            setup = Setup(Path(place), Path(place), self.cores.all, has_far_end=False)
            batches, seconds = (50_000, 5) if self.is_quick else (1_000_000, 20)
            return {OURS: [backlog.start_up(setup, batches=batches, drain_seconds=seconds)]}


def facts(folder: Path, its_cores: Cores) -> list[str]:
    """Where and what is measured."""
    root = "as root" if os.geteuid() == 0 else "not root: UDP receive buffers are what net.core.rmem_max grants"
    free = shutil.disk_usage(folder).free
    limit = Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii").strip()
    return [
        machine(),
        versions(),
        f"{root}, net.core.rmem_max {limit}; files in {folder}, {free >> 30} GiB free",
        its_cores.describe(),
        *(f"lines `{mix}`: {text}" for mix, text in describe().items()),
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = [*(case.name for case in CASES), START_UP]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some minutes instead of an hour; for a first look")
    parser.add_argument("--only", action="append", metavar="CASE", choices=names, help="of " + ", ".join(names))
    parser.add_argument("--contestant", action="append", metavar="NAME", help="leave the others out")
    parser.add_argument("--record", action="store_true", help="add the run to bench/results.jsonl")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where stores and queues lie")
    return parser.parse_args()


def measure(given: argparse.Namespace, run: Run, bench: Bench) -> None:
    """Fill a run, case by case, and print each as it is done."""
    wanted = given.only or [*(case.name for case in CASES), START_UP]
    for case in CASES:
        if case.name in wanted:
            run["calibration"].append((f"before {case.name}", calibrate()))
            run["cases"][case.name] = bench.case(case)
            print(report.case_text(run, case.name), flush=True)
    bench.sources.end()
    if START_UP in wanted:
        run["cases"][START_UP] = bench.start_up()
        print(report.case_text(run, START_UP), flush=True)
    run["calibration"].append(("end", calibrate()))
    print(report.calibration_text(run), flush=True)


def main() -> int:
    """Run the cases that were asked for; give the exit code."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    its_cores = cores()
    os.sched_setaffinity(0, its_cores.rest)
    contestants, absent = entries()
    if given.contestant:
        contestants = [entry for entry in contestants if entry.name in given.contestant]
    run: Run = {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": " ".join(["python", "bench/run.py", *map(shlex.quote, sys.argv[1:])]),
        "is_quick": given.quick,
        "is_whole": not given.only and not given.contestant,
        "facts": facts(given.dir, its_cores),
        "calibration": [("head", calibrate())],
        "promises": {entry.name: entry.promise for entry in contestants},
        "absent": absent,
        "cases": {},
    }
    print(report.head_text(run), flush=True)
    measure(given, run, Bench(given.dir, its_cores, contestants, Sources(), given.quick))
    if given.record:
        append(run)
        report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
