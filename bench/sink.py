"""A TCP sink: counts the lines that a peer forwards, and notes how late each stamped one is.

    python bench/sink.py
    stdout: {"port": ...}
    stdin: one empty line asks; stdout: {"lines": ..., "bytes": ..., "cpu_seconds": ..., "late_ms": [median, p99, max]}

Lateness is measured where a line has ` t=<ns>` (see generate.py), against the moment at which it was read here.
"""

import json
import re
import selectors
import socket
import sys
import time
from typing import Any

READ_BYTES = 1 << 18
_STAMP = re.compile(rb" n=\d+ t=(\d{19})")


def percentiles(late_ms: list[float]) -> list[float] | None:
    """Median, 99th percentile and maximum of what was noted."""
    if not late_ms:
        return None
    late = sorted(late_ms)
    return [round(late[int(share * (len(late) - 1))], 2) for share in (0.5, 0.99, 1.0)]


class Sink:
    """What was read from all connections so far."""

    def __init__(self) -> None:
        self.lines = 0
        self.bytes = 0
        self.late_ms: list[float] = []

    def read(self, connection: socket.socket) -> bool:
        """Read what is there; False at the end of the connection."""
        try:
            data = connection.recv(READ_BYTES)
        except ConnectionError:
            return False
        now = time.time_ns()
        self.lines += data.count(b"\n")
        self.bytes += len(data)
        if b" t=" in data:
            self.late_ms += [(now - int(stamp[1])) / 1e6 for stamp in _STAMP.finditer(data)]
        return bool(data)

    def facts(self) -> dict[str, Any]:
        """Everything counted since the last question about lateness."""
        late, self.late_ms = self.late_ms, []
        return {
            "lines": self.lines,
            "bytes": self.bytes,
            "cpu_seconds": time.process_time(),
            "late_ms": percentiles(late),
        }


def main() -> None:
    """Serve until stdin ends."""
    sink, selector = Sink(), selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ, data="question")
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif key.data == "question":
                if not sys.stdin.readline():
                    return
                print(json.dumps(sink.facts()), flush=True)
            elif isinstance(key.fileobj, socket.socket) and not sink.read(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()


if __name__ == "__main__":
    main()
