"""What a process costs, read from /proc from outside: CPU of all its threads, memory, bytes to the medium.

Sources: proc(5): `stat` fields 14 and 15 (utime, stime, all threads, ended ones too), `smaps_rollup` (PSS: shared
pages counted by their share), `io` (write_bytes: what the process caused to be sent to the storage layer).
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
BENCH = Path(__file__).resolve().parent


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far; resolution 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_bytes(pid: int, kind: str = "Pss") -> int:
    """Proportional (`Pss`) or resident (`Rss`) set size now."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    return 0


def write_bytes(pid: int) -> int:
    """Bytes that it caused to be written to a medium so far (0 on tmpfs)."""
    for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


@dataclass(frozen=True)
class Cost:
    """What some processes had used at one moment, or between two."""

    at: float
    cpu_seconds: float
    write_bytes: int
    pss_bytes: int
    rss_bytes: int

    def since(self, before: "Cost") -> "Cost":
        """The difference; memory is the present one."""
        return Cost(
            self.at - before.at,
            self.cpu_seconds - before.cpu_seconds,
            self.write_bytes - before.write_bytes,
            self.pss_bytes,
            self.rss_bytes,
        )


def cost(pids: Sequence[int]) -> Cost:
    """Add up what these processes have used so far."""
    return Cost(
        time.perf_counter(),
        sum(map(cpu_seconds, pids)),
        sum(map(write_bytes, pids)),
        sum(map(memory_bytes, pids)),
        sum(memory_bytes(pid, "Rss") for pid in pids),
    )


class Part:
    """A script of this folder as a child: it says one JSON line at its start, and one for each line it is given."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, str(BENCH / script), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.first = self.answer()

    def order(self, **order: Any) -> None:
        """Give it an order, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Read its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
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


def machine() -> str:
    """Say what this was measured on, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return (
        f"{os.cpu_count()} cores {model}, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )


def commit() -> str:
    """The commit measured, with a `+` when the tree differs from it."""
    git = ["git", "-C", str(BENCH)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
