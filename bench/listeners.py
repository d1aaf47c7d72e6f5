"""What a listener costs an event: `PYTHONPATH=. python bench/listeners.py` prints the table of docs/performance.md.

    sender (a process of its own) ──TCP, TLS, Unix──► listener ──► rows, counted and dropped; no other part of the agent

CPU is that of the collector's process, all threads, over the whole transfer; the best of three runs. `lines` records: a
TLS record, or a write, for each line, as most senders do it; `chunks`: 500 lines at once. TLS 1.3, AES-256-GCM.
"""

import argparse
import asyncio
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from lines import lines

from collectors.sink import Lane, Stream
from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.listener import Listener

CASES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "tcp, chunks": ("tcp", "chunks", {}),
    "tls, chunks": ("tls", "chunks", {}),
    "tcp, lines": ("tcp", "lines", {}),
    "tls, lines": ("tls", "lines", {}),
    "unix-stream, chunks": ("unix-stream", "chunks", {}),
    "tcp, chunks, with a rate": ("tcp", "chunks", {"rows_per_second_per_peer": 10_000_000}),
    "tcp, chunks, over the rate": ("tcp", "chunks", {"rows_per_second_per_peer": 1_000, "burst_rows_per_peer": 1_000}),
}
RUNS: Final = 3
CHUNK_LINES: Final = 500
RING_LINES: Final = 50_000


class CountingSink:
    """A sink that keeps only the number of rows."""

    finish_seconds = 0.0

    def __init__(self) -> None:
        self.rows = 0
        self.reported: dict[str, Any] = {}
        self._changed = asyncio.Event()

    def put(
        self,
        stream: Stream,
        rows: Sequence[tuple[Any, ...]],
        *,
        lane: Lane = Lane.NORMAL,
        mark: tuple[str, bytes] | None = None,
    ) -> None:
        """Count."""
        del stream, lane, mark
        self.rows += len(rows)
        self._changed.set()

    async def drain(self) -> None:
        """There is always room."""

    def marks(self) -> Mapping[str, bytes]:
        """None."""
        return {}

    def count(self, reason: str, amount: int = 1) -> None:
        """Dropped rows have arrived, too."""
        if reason == "rate-limit":
            self.rows += amount
            self._changed.set()

    def report(self, **facts: object) -> None:
        """Keep what status would show."""
        self.reported.update(facts)
        self._changed.set()

    @property
    def is_listening(self) -> bool:
        """Whether the listener is open."""
        return bool(self.reported) and self.reported["listeners"][0]["state"] == "listening"

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait; looked at whenever something changes."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


def send(scheme: str, where: str, style: str, count: int) -> None:
    """Be the sender: render, connect, send, hang up."""
    import socket

    local = (
        b"<30>Nov 25 10:00:%02d cron[%d]: (root) CMD (cd / && run-parts --report /etc/cron.hourly) and so on, number %d"
        % (n % 60, n % 999, n)
        for n in range(RING_LINES)
    )
    ring = [line + b"\n" for line in (local if scheme.startswith("unix") else lines(RING_LINES))]
    size = CHUNK_LINES if style == "chunks" else 1
    pieces = [b"".join(ring[at : at + size]) for at in range(0, len(ring), size)]
    with ExitStack() as stack:
        family = socket.AF_UNIX if scheme.startswith("unix") else socket.AF_INET
        sock = stack.enter_context(socket.socket(family))
        sock.connect(where if family == socket.AF_UNIX else ("127.0.0.1", int(where)))
        if scheme == "tls":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = stack.enter_context(context.wrap_socket(sock))
        for number in range(count // size):
            sock.sendall(pieces[number % len(pieces)])


def make_certificate(folder: Path) -> dict[str, str]:
    """A certificate for this run alone."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
    command = ["openssl", *new, "-subj", "/CN=bench", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return {"cert_file": str(cert), "key_file": str(key)}


async def measure(case: str, *, count: int, folder: Path) -> tuple[float, float]:
    """Give events a second and CPU in µs an event."""
    scheme, style, options = CASES[case]
    bind = f"unix-stream://{folder}/log" if scheme == "unix-stream" else f"{scheme}://127.0.0.1:0"
    settings: dict[str, Any] = {**options, **(make_certificate(folder) if scheme == "tls" else {})}
    sink = CountingSink()
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind=bind, **settings),)), sink))
    await sink.until(lambda: sink.is_listening)
    found = sink.reported["listeners"]
    where = str(found[0].get("port") or found[0]["path"])
    command = [sys.executable, __file__, "--send", scheme, where, style, str(count)]
    sender = await asyncio.create_subprocess_exec(*command)
    await sink.until(lambda: sink.rows > 0)
    before, started, cpu = sink.rows, time.perf_counter(), time.process_time()
    await sink.until(lambda: sink.rows >= count)
    events, seconds, used = sink.rows - before, time.perf_counter() - started, time.process_time() - cpu
    await sender.wait()
    task.cancel()
    await asyncio.wait([task])
    return events / seconds, 1e6 * used / events


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--send", nargs=4, metavar=("SCHEME", "WHERE", "STYLE", "COUNT"), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=400_000)
    given = parser.parse_args()
    if given.send:
        scheme, where, style, count = given.send
        send(scheme, where, style, int(count))
        return
    print("| listener | events/s | CPU µs an event |\n|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            runs = [asyncio.run(measure(case, count=given.count, folder=Path(folder))) for _ in range(RUNS)]
        rate, used = min(runs, key=lambda run: run[1])
        print(f"| {case} | {rate:,.0f} | {used:.2f} |", flush=True)


if __name__ == "__main__":
    main()
