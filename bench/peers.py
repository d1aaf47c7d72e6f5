"""rsyslog of Debian on the same work: syslog in, queue with a disk behind it, out over TCP to a sink that counts.

Two forms, because "with a disk queue" has two meanings (rsyslog's documentation, "Understanding rsyslog Queues"):
- `assisted`: queue.type LinkedList with queue.filename and saveOnShutdown: memory first, disk when that is full. A
  kill -9 loses what is in memory. This is the form people run.
- `disk`: queue.type Disk: every message goes through the file, without fsync. Nearer to what edgepost promises, still
  without its fsync and without a receipt: omfwd counts a line as delivered once the kernel has taken it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from measure import Part
from places import free_port, socket_facts, wait_for

QUEUES = {
    "assisted": 'queue.type="LinkedList" queue.filename="q" queue.size="200000" queue.maxDiskSpace="2g"',
    "disk": 'queue.type="Disk" queue.filename="q" queue.maxDiskSpace="2g"',
}
_CONFIG = """
global(workDirectory="{folder}/spool" maxMessageSize="64k")
module(load="imtcp")
module(load="imudp" batchSize="64" timeRequery="8")
main_queue(queue.type="Direct")
ruleset(name="out" {queue} queue.dequeueBatchSize="1024" queue.saveOnShutdown="on" queue.timeoutShutdown="10000") {{
  action(type="omfwd" target="127.0.0.1" port="{out}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format"
         action.resumeRetryCount="-1")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="out")
input(type="imudp" address="127.0.0.1" port="{port}" ruleset="out" {buffer})
"""


class Rsyslog:
    """rsyslogd with its own configuration, folder and pid, and its sink."""

    def __init__(self, folder: Path, *, queue: str = "assisted", receive_buffer: int | None = 8 << 20) -> None:
        self.name = f"rsyslog {queue}"
        self.folder = folder / f"rsyslog-{queue}"
        (self.folder / "spool").mkdir(parents=True)
        self.port = free_port()
        self._sink = Part("sink.py")
        buffer = f'rcvbufSize="{receive_buffer}"' if receive_buffer else ""
        values = {"folder": self.folder, "queue": QUEUES[queue], "out": self._sink.first["port"], "buffer": buffer}
        (self.folder / "rsyslog.conf").write_text(_CONFIG.format(port=self.port, **values), encoding="ascii")
        self._start()

    def _start(self) -> None:
        program = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise FileNotFoundError("rsyslogd: apt install rsyslog")
        command = [program, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.pid = self._process.pid
        wait_for(lambda: socket_facts("tcp", self.port) is not None, seconds=10, what="rsyslogd listens")

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""
        return {"sink": self._sink.pid}

    def delivered(self) -> int:
        """Lines that the sink has read since the start."""
        return int(self._sink.ask()["lines"])

    def ask_sink(self) -> dict[str, Any]:
        """What the sink has read, with `late_ms` of the stamped lines since the last question."""
        return self._sink.ask()

    def counted_lost(self) -> int | None:
        """What it says itself that it lost: nothing, imudp does not read the kernel's drops."""
        return None

    def wire(self) -> tuple[int, int]:
        """Bytes and lines sent over the network so far."""
        facts = self._sink.ask()
        return int(facts["bytes"]), int(facts["lines"])

    def stop(self) -> None:
        """End it and its sink."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._sink.end()
