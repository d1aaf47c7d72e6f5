"""What one collector has put: rows, bytes, rate and who was last heard, per stream; and what it counted by reason.

Counting costs a hot path a few additions a chunk; only the sources are looked at row by row, in C.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from agent.reasons import OF_COLLECTING, undeclared
from collectors.sink import Reason, Stream

RATE_SECONDS: Final = 10
SOURCES: Final = 4_096


class StreamTally:
    """The counts of one stream of one collector since the start."""

    def __init__(self, stream: Stream) -> None:
        self.rows = 0
        self.bytes = 0
        self.last_seen_ns: int | None = None
        self.sources: dict[Any, int] = {}
        self._source_of = itemgetter(stream.row._fields.index(stream.source))
        self._seconds = [0] * (
            RATE_SECONDS + 1
        )  # the ring of rows per second; its index is the second modulo its length
        self._second = 0

    def add(self, rows: Sequence[tuple[Any, ...]], *, size: int) -> None:
        """Count one put of `size` encoded bytes."""
        now = time.time_ns()
        self.rows += len(rows)
        self.bytes += size
        self.last_seen_ns = now
        self._turn_to(time.monotonic_ns() // 1_000_000_000)
        self._seconds[self._second % len(self._seconds)] += len(rows)
        self.sources.update(dict.fromkeys(map(self._source_of, rows), now))
        if len(self.sources) > SOURCES:
            self._forget_half()

    def _forget_half(self) -> None:
        """Keep the sources heard last: made-up addresses must not fill the memory."""
        latest = sorted(self.sources.items(), key=itemgetter(1))[SOURCES // 2 :]
        self.sources = dict(latest)

    def _turn_to(self, second: int) -> None:
        """Empty the ring's places between the last second with rows and this one."""
        for passed in range(max(self._second + 1, second - RATE_SECONDS), second + 1):
            self._seconds[passed % len(self._seconds)] = 0
        self._second = max(self._second, second)

    def facts(self) -> dict[str, Any]:
        """Counts and rate, the running second left out of the rate."""
        self._turn_to(time.monotonic_ns() // 1_000_000_000)
        whole = sum(self._seconds) - self._seconds[self._second % len(self._seconds)]
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "last_seen_ns": self.last_seen_ns,
            "rows_per_second": whole / RATE_SECONDS,
            "sources": len(self.sources),
        }


class Tally:
    """The counts of one collector since the start."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamTally] = {}
        self.drops: Counter[str] = Counter()
        self.report: dict[str, object] = {}
        self._reasons = {reason.name: reason for reason in OF_COLLECTING}

    def declare(self, reasons: Iterable[Reason]) -> None:
        """Learn what the collector counts by."""
        self._reasons |= {reason.name: reason for reason in reasons}

    def reason(self, name: str) -> Reason:
        """What a name of `drops` means."""
        return self._reasons.get(name) or undeclared(name)

    @property
    def last_seen_ns(self) -> int | None:
        """When the last row of any stream was put."""
        return max((each.last_seen_ns or 0 for each in self.streams.values()), default=0) or None

    def of(self, stream: Stream) -> StreamTally:
        """The tally of one stream, made at its first row."""
        tally = self.streams.get(stream.name)
        if tally is None:
            tally = self.streams[stream.name] = StreamTally(stream)
        return tally

    def facts(self) -> dict[str, Any]:
        """Everything status shows of this collector, as plain values."""
        return {
            "streams": {name: tally.facts() for name, tally in self.streams.items()},
            "drops": dict(self.drops),
            "reasons": {name: self._reason_facts(name) for name in self.drops},
            "report": dict(self.report),
            "sources": sum(len(tally.sources) for tally in self.streams.values()),
        }

    def _reason_facts(self, name: str) -> dict[str, Any]:
        reason = self.reason(name)
        return {"unit": reason.unit, "is_loss": reason.is_loss, "is_in_rows": reason.is_in_rows}
