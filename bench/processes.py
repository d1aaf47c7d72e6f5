"""Children of a run: programs that write a log, scripts of this folder that answer in JSON, and which cores they get.

The run itself and everything behind and before a contestant (generator, sink, broker, receiver) stay on the last core
(they inherit it from `stay_on_last_core`); a contestant gets the cores that its case gives it.
"""

import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

BENCH = Path(__file__).resolve().parent
ANSWER_SECONDS = 900.0


class Cores(NamedTuple):
    """Cores of this machine: all for a contestant, one for a contestant, and the one for everything else."""

    all: frozenset[int]
    one: frozenset[int]
    rest: frozenset[int]

    def describe(self) -> str:
        """Say it in one line."""
        if self.one == self.rest:
            return "one core for everything"
        (one,), (rest,) = self.one, self.rest
        return (
            f"a contestant may use all {len(self.all)} cores (core {one} alone where a table says `one core`); "
            f"generator, broker, receiver and sinks are pinned to core {rest}"
        )


def cores() -> Cores:
    """Give the cores this process was started on."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(mine), frozenset(mine[:1]), frozenset(mine[-1:]))


def program(name: str) -> str:
    """Find a program, in sbin too.

    Raises:
        FileNotFoundError: it is not there.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def environment() -> dict[str, str]:
    """The children run what is imported here, be it the tree or an installed wheel."""
    found = importlib.util.find_spec("agent")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("agent: install the wheel, or set PYTHONPATH to the tree")
    return {**os.environ, "PYTHONPATH": str(Path(found.origin).parents[1])}


class Process:
    """A child that writes to a log; ended by its pid."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        on: frozenset[int] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if on is not None:  # exec keeps the pid
            command = [program("taskset"), "-c", ",".join(map(str, sorted(on))), *command]
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env={**environment(), **(env or {})},
                cwd=log.parent,
                stdout=errors,
                stderr=errors,
                stdin=subprocess.DEVNULL,
            )
        self.pid = self._process.pid

    def end(self, *, how: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> None:
        """Send a signal, and SIGKILL if it is not enough."""
        self._process.send_signal(how)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def must_run(self) -> None:
        """Raise RuntimeError with the end of its log if it has ended."""
        if not self.is_running:
            raise RuntimeError(self.log.read_text(encoding="utf-8", errors="replace")[-2000:])


class Part:
    """A script of this folder as a child: it says one JSON line at its start, and one for each line it is given."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, str(BENCH / script), *arguments]
        self._name = " ".join((script, *arguments))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.first = self.answer()

    def order(self, **order: Any) -> None:
        """Give it an order, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Read its next line.

        Raises:
            TimeoutError: it does not answer, for example because nobody takes what it sends.
            RuntimeError: it has ended.
        """
        answer = self.answer_within(seconds)
        if answer is None:
            raise TimeoutError(f"no answer within {seconds:.0f} s: {self._name}")
        return answer

    def answer_within(self, seconds: float) -> dict[str, Any] | None:
        """Read its next line; None if there is none yet."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}")
        return dict(json.loads(line))

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give it an order and wait for the answer."""
        self.order(**order)
        return self.answer()

    def end(self) -> None:
        """Close its stdin, by which it ends; after a while less politely."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_broker(folder: Path, port: int) -> Process:
    """mosquitto as it comes from Debian, without persistence, without a log, and never full for a subscriber."""
    lines = ["log_type error", "allow_anonymous true", f"listener {port} 127.0.0.1", "set_tcp_nodelay true"]
    lines += ["max_queued_messages 0", "max_inflight_messages 0"]
    lines += [] if os.getuid() else ["user root"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="ascii")
    return Process([program("mosquitto"), "-c", str(folder / "mosquitto.conf")], folder / "mosquitto.log")
