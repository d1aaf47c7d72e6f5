"""A consumer of edgepost batches: python consumer.py HOST PORT GROUP, with paho-mqtt, msgpack and zstandard alone.

It prints each row as a line of JSON and receipts the batch. Its only commit is a flush of stdout and it remembers no
names, so a row may be printed twice, and what stdout leads to may still lose it: at-least-once at best. A consumer
that means it writes rows and batch name to disk in one step, then receipts (docs/wire-format.md, "Receipts").
The sender keeps its batches until GROUP, named in its `forward.confirm`, has receipted them.
"""

import json
import sys
from hashlib import blake2b
from typing import Any

import msgpack
import paho.mqtt.client as mqtt
import zstandard


def on_message(client: mqtt.Client, group: str, message: mqtt.MQTTMessage) -> None:
    """Print the rows of one batch, then say so to broker and sender. What cannot be read is told and not receipted."""
    root, _, _, site, sender, stream = message.topic.rsplit("/", 5)
    try:
        if stream != "state":
            _, _, digest, head, body = msgpack.unpackb(message.payload, max_array_len=5)
            fields, outcome = msgpack.unpackb(head, max_array_len=256), ["refused", "digest"]
            if blake2b(head + body, digest_size=16).digest() == digest:
                if zstandard.get_frame_parameters(body).content_size > 16 << 20:  # it may claim anything: look first
                    raise ValueError("more than 16 MiB of rows")
                for row in msgpack.unpackb(zstandard.decompress(body), max_array_len=100_000):
                    named = zip((name for name, _ in fields["columns"]), row, strict=True)
                    print(json.dumps({"agent": fields["agent"], **dict(named)}, default=bytes.hex))
                sys.stdout.flush()
                outcome = ["committed", None]
            receipt = [fields["epoch"], fields["lane"], fields["seq"], digest, *outcome]
            client.publish(f"{root}/v1/down/{site}/{sender}", msgpack.packb([1, group, [receipt]]), qos=1)
    except (ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
        print(f"{message.topic}: {error!r}", file=sys.stderr)
    client.ack(message.mid, message.qos)


def on_connect(client: mqtt.Client, *_: Any) -> None:
    """Subscribe at every connection: sessions are clean, the sender's store is the queue."""
    client.subscribe("edgepost/v1/up/+/+/+", qos=1)


if __name__ == "__main__":
    host, port, group = sys.argv[1:]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, userdata=group, manual_ack=True)
    client.on_connect, client.on_message = on_connect, on_message
    client.connect(host, int(port))
    client.loop_forever()
