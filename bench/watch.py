"""Listens at the broker beside the receiver: how late each stamped row is when its receipt passes, and bytes by topic.

    python bench/watch.py PORT
    stdin: one empty line asks; stdout: {"late_ms": [median, p99, max], "rows": ..., "up_bytes": ..., "down_bytes": ...}

A row is delivered when the center says so: the receipt of its batch, sent after the center's fdatasync and its
transaction. Lateness is that moment minus the row's ` t=<ns>` (see generate.py). Bytes are those of the MQTT packets:
payload, topic and fixed header of QoS 1.
"""

import json
import re
import sys
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sink import percentiles

from wire.batch import decode_payload, decode_rows
from wire.names import BatchName
from wire.receipts import COMMITTED, REPEAT, decode_receipts

_STAMP = re.compile(r" t=(\d{19})")
_PACKET_BYTES = 2 + 2 + 1 + 3  # length of the topic, packet id, no properties, type and remaining length


class Watch:
    """What has passed since the last question."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent_ns: dict[BatchName, list[int]] = {}
        self._late_ms: list[float] = []
        self._bytes = {"up": 0, "down": 0}
        self._rows = 0

    def hear(self, message: paho.MQTTMessage) -> None:
        """Take one message of the tree `edgepost/v1`."""
        way, *_, stream = message.topic.split("/")[2:]
        with self._lock:
            payload = bytes(message.payload)
            self._bytes[way] += len(payload) + len(message.topic) + _PACKET_BYTES
            if way == "down":
                self._receipt(payload, int(message.timestamp * 1e9))
            elif stream == "syslog":
                self._batch(payload)

    def _batch(self, payload: bytes) -> None:
        batch = decode_payload(payload)
        at = [name for name, _ in batch.head.columns].index("message")
        texts = (row[at] or "" for row in decode_rows(batch))
        self._sent_ns[batch.name] = [int(found[1]) for found in map(_STAMP.search, texts) if found]
        self._rows += batch.head.rows

    def _receipt(self, payload: bytes, now_ns: int) -> None:
        if payload.startswith(b"\x93"):
            for receipt in decode_receipts(payload)[1]:
                if receipt.outcome in {COMMITTED, REPEAT}:
                    self._late_ms += [(now_ns - sent) / 1e6 for sent in self._sent_ns.pop(receipt.name, [])]

    def facts(self) -> dict[str, Any]:
        """Give it and begin anew."""
        with self._lock:
            late, self._late_ms = self._late_ms, []
            sizes, self._bytes = self._bytes, {"up": 0, "down": 0}
            rows, self._rows = self._rows, 0
        return {"late_ms": percentiles(late), "rows": rows, "up_bytes": sizes["up"], "down_bytes": sizes["down"]}


def main() -> None:
    """Listen until stdin ends."""
    watch, ready = Watch(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

    def hear(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        message.timestamp = time.time()
        watch.hear(message)

    client.on_message = hear
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    client.subscribe("edgepost/v1/#", qos=1)
    ready.wait(10)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(watch.facts()), flush=True)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
