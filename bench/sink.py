"""A sink: counts the lines that a peer forwards, and notes how late each stamped one is.

    python bench/sink.py PORT                  listens there for lines over TCP
    python bench/sink.py PORT --topic TOPIC    subscribes to the MQTT broker there; a message is a line
    stdout: {"port": ...}
    stdin: one empty line asks; stdout: {"lines": ..., "bytes": ..., "cpu_seconds": ..., "late_ms": [median, p99, max]}

Messages are counted by the topic in each PUBLISH packet (QoS 0) without a client library: one that makes an object of
each message would take more of the machine than what is measured. Lateness is measured where a line has ` t=<ns>` (see generate.py), against the moment at which it was read here.
"""

import argparse
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


def subscribe(port: int, topic: bytes) -> socket.socket:
    """Connect to a broker as MQTT 3.1.1 wants it (sections 3.1 and 3.8): clean session, no keep-alive, QoS 0."""
    one = socket.create_connection(("127.0.0.1", port))
    name = b"bench-sub"
    connect = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
    wanted = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x00"
    one.sendall(b"\x10" + bytes([len(connect)]) + connect + b"\x82" + bytes([len(wanted)]) + wanted)
    if (said := one.recv(4 + 5, socket.MSG_WAITALL)) != b"\x20\x02\x00\x00\x90\x03\x00\x01\x00":
        raise ConnectionError(f"the broker did not take the subscription: {said.hex()}")
    return one


class Sink:
    """What was read from all connections so far."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark  # what stands in each line or message once
        self._tail = b""
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
        self.lines += self._count(data)
        self.bytes += len(data)
        if b" t=" in data:
            self.late_ms += [(now - int(stamp[1])) / 1e6 for stamp in _STAMP.finditer(data)]
        return bool(data)

    def _count(self, data: bytes) -> int:
        if len(self._mark) == 1:
            return data.count(self._mark)
        data = self._tail + data  # a mark may lie across two reads; there is one connection then
        self._tail = data[1 - len(self._mark) :]
        return data.count(self._mark)

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--topic")
    given = parser.parse_args()
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, data="question")
    if given.topic is None:
        sink = Sink(b"\n")
        selector.register(socket.create_server(("127.0.0.1", given.port)), selectors.EVENT_READ, data="listener")
    else:
        topic = given.topic.encode()
        sink = Sink(len(topic).to_bytes(2, "big") + topic + b"<")  # every line begins with its PRI
        selector.register(subscribe(given.port, topic), selectors.EVENT_READ)
    print(json.dumps({"port": given.port}), flush=True)
    while True:
        for key, _ in selector.select():
            if key.data == "question":
                if not sys.stdin.readline():
                    return
                print(json.dumps(sink.facts()), flush=True)
            elif isinstance(key.fileobj, socket.socket):
                _take(key, sink=sink, selector=selector)


def _take(key: selectors.SelectorKey, *, sink: Sink, selector: selectors.DefaultSelector) -> None:
    """Read from a connection, or let a new one in."""
    assert isinstance(key.fileobj, socket.socket)
    if key.data == "listener":
        selector.register(key.fileobj.accept()[0], selectors.EVENT_READ)
    elif not sink.read(key.fileobj):
        selector.unregister(key.fileobj)
        key.fileobj.close()


if __name__ == "__main__":
    main()
