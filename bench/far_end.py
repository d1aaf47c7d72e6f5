"""What stands behind a peer: a sink that counts lines, reached over TCP, or over MQTT through a broker.

    peer ──TCP──► sink.py
    peer ──MQTT──► mosquitto ──MQTT──► sink.py

Both have `start()` (an outage is a far end that was not started yet), `delivered()`, `wire()`, `ask()`, `beside`, `stop()`.
`delivered` here means: a process behind the network has read the line. Nobody has synced it, nobody has said so.
"""

from functools import partial
from pathlib import Path
from typing import Any

from places import answers, free_port, wait_for
from processes import Part, Process, start_broker

TOPIC = "logs"


class LineSink:
    """The sink alone, at a port that is known before it starts."""

    def __init__(self, folder: Path, *, topic: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._arguments = [str(self.port)] if topic is None else [str(self.port), "--topic", topic]
        self._part: Part | None = None

    def start(self) -> None:
        """Listen at the port, or subscribe there."""
        self._part = Part("sink.py", *self._arguments)

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""
        return {} if self._part is None else {"sink": self._part.pid}

    def ask(self) -> dict[str, Any]:
        """What was read, with `late_ms` of the stamped lines since the last question."""
        return {"lines": 0, "bytes": 0, "late_ms": None} if self._part is None else self._part.ask()

    def delivered(self) -> int:
        """Lines read since the start."""
        return int(self.ask()["lines"])

    def wire(self) -> tuple[int, int]:
        """Bytes and lines that came over the network so far."""
        facts = self.ask()
        return int(facts["bytes"]), int(facts["lines"])

    def stop(self) -> None:
        """End it."""
        if self._part is not None:
            self._part.end()


class MqttSink:
    """Broker before the sink, which subscribes; one message is one line."""

    def __init__(self, folder: Path) -> None:
        self._sink = LineSink(folder, topic=TOPIC)
        self.port = self._sink.port
        self._broker: Process | None = None

    def start(self) -> None:
        """Start the broker, then the sink."""
        self._broker = start_broker(self._sink.folder, self.port)
        wait_for(partial(answers, self.port), seconds=10, what="mosquitto answers")
        self._sink.start()

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""
        return self._sink.beside | ({} if self._broker is None else {"broker": self._broker.pid})

    def ask(self) -> dict[str, Any]:
        """As the sink."""
        return self._sink.ask()

    def delivered(self) -> int:
        """Messages that the subscriber was given."""
        return self._sink.delivered()

    def wire(self) -> tuple[int, int]:
        """Bytes of the PUBLISH packets, and how many."""
        return self._sink.wire()

    def stop(self) -> None:
        """End both."""
        self._sink.stop()
        if self._broker is not None:
            self._broker.end()
