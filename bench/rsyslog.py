"""rsyslog of Debian on the same work: syslog in, queue with a disk behind it, out over TCP to a sink that counts.

Two forms, because "with a disk queue" has two meanings (rsyslog's documentation, "Understanding rsyslog Queues"):
- `assisted`: queue.type LinkedList with queue.filename and saveOnShutdown: memory first, disk when that is full. A
  kill -9 loses what is in memory. This is the form people run.
- `disk`: queue.type Disk: every message goes through the file, without fsync. Nearer to what edgepost promises, still
  without its fsync and without a receipt: omfwd counts a line as delivered once the kernel has taken it.
"""

from contest import DEFAULT_BUFFER, Setup
from far_end import LineSink
from places import free_port, listens, wait_for
from processes import Process, program

# In favour of rsyslog: with its defaults both stop taking lines over TCP in an outage. imtcp pauses at 70 % of queue.size,
# which is below the 90 % at which an assisted queue begins to use its disk, and counts what is on disk in a disk queue.
QUEUES = {
    "disk": 'queue.type="Disk" queue.filename="q" queue.size="40000000" queue.maxDiskSpace="32g"',
    "assisted": (
        'queue.type="LinkedList" queue.filename="q" queue.size="200000" queue.highWatermark="120000" '
        'queue.lowWatermark="60000" queue.maxDiskSpace="32g"'
    ),
}
PROMISES = {
    "disk": "in a file, never synced; gone when the kernel has taken it",
    "assisted": "in memory, above 120,000 lines in a file; gone when the kernel has taken it",
}
_CONFIG = """
global(workDirectory="{folder}/spool" maxMessageSize="64k")
module(load="imtcp")
module(load="imudp" batchSize="64" timeRequery="8")
main_queue(queue.type="Direct")
ruleset(name="out" {queue} queue.dequeueBatchSize="1024" queue.saveOnShutdown="on" queue.timeoutShutdown="10000") {{
  action(type="omfwd" target="127.0.0.1" port="{out}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format"
         action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="1")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="out")
input(type="imudp" address="127.0.0.1" port="{port}" ruleset="out" {buffer})
"""


class Rsyslog:
    """rsyslogd with its own configuration, folder and pid, and its sink."""

    def __init__(self, setup: Setup, *, queue: str) -> None:
        self.name = f"rsyslog {queue}"
        folder = setup.folder / f"rsyslog-{queue}"
        self.store = folder / "spool"
        self.store.mkdir(parents=True)
        self.port = free_port()
        self.far_end = LineSink(setup.beside)
        if setup.has_far_end:
            self.far_end.start()
        buffer = f'rcvbufSize="{setup.receive_buffer}"' if setup.receive_buffer > DEFAULT_BUFFER else ""
        values = {"folder": folder, "queue": QUEUES[queue], "out": self.far_end.port, "buffer": buffer}
        (folder / "rsyslog.conf").write_text(_CONFIG.format(port=self.port, **values), encoding="ascii")
        command = [program("rsyslogd"), "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
        self._process = Process(command, folder / "log", on=setup.cores)
        self.pid = self._process.pid
        wait_for(self._listens, seconds=10, what="rsyslogd listens")

    def _listens(self) -> bool:
        self._process.must_run()
        return listens(self.port)

    def counted_lost(self) -> int | None:
        """What it says itself that it lost: nothing, imudp does not read the kernel's drops."""
        return None

    def stop(self) -> None:
        """End it and its sink."""
        self._process.end(seconds=30)
        self.far_end.stop()
