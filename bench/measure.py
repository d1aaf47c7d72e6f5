"""What a process costs, read from /proc from outside: CPU of all its threads, memory, bytes to the medium.

Sources: proc(5): `stat` fields 14 to 17 (user and system time of all threads, ended ones too, and of children that were
waited for), `task/*/children`, `smaps_rollup` (PSS: shared pages counted by their share), `io` (write_bytes).
"""

import contextlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import BENCH

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and what it has started that still runs."""
    found = [pid]
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            for child in place.read_text(encoding="ascii").split():
                found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far of all threads, and of the children that were waited for; resolution 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory_bytes(pid: int, kind: str = "Pss") -> int:
    """Proportional (`Pss`) or resident (`Rss`) set size now."""
    return _field(f"/proc/{pid}/smaps_rollup", kind) * 1024


def write_bytes(pid: int) -> int:
    """Bytes of the pages that it has made dirty so far (0 on tmpfs); what is deleted soon never reaches the medium."""
    return _field(f"/proc/{pid}/io", "write_bytes")


def _field(path: str, name: str) -> int:
    for line in Path(path).read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


@dataclass(frozen=True)
class Cost:
    """What a process and its children had used at one moment, or between two."""

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


def cost(pid: int) -> Cost:
    """Add up what a process and its children have used so far."""
    pids = family(pid)
    return Cost(
        time.perf_counter(),
        _sum(cpu_seconds, pids),
        int(_sum(write_bytes, pids)),
        pss_bytes(pid),
        int(_sum(lambda one: memory_bytes(one, "Rss"), pids)),
    )


def pss_bytes(pid: int) -> int:
    """Memory of a process and its children now."""
    return int(_sum(memory_bytes, family(pid)))


def _sum(measure: Callable[[int], float], pids: Sequence[int]) -> float:
    total = 0.0
    for n, pid in enumerate(pids):
        with contextlib.ExitStack() as stack:
            if n:  # a child may have ended since; the process itself must be there
                stack.enter_context(contextlib.suppress(OSError))
            total += measure(pid)
    return total


def busy_seconds() -> float:
    """CPU time of all cores so far that was not idle; what a host took away counts too (proc_stat(5))."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        Path("/proc/stat").read_text(encoding="ascii").split()[1:9]
    )
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / TICKS


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
