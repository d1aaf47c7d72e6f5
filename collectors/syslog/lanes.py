"""From parsed rows to puts: severity decides the lane, and the limit of urgent rows per peer."""

from collections.abc import Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, Final

from collectors.sink import Lane, Sink
from collectors.syslog.config import SEVERITIES, Syslog
from collectors.syslog.rows import SYSLOG
from collectors.urgency import UrgentLimit

_severity: Final = itemgetter(SYSLOG.row._fields.index("severity"))
_peer: Final = itemgetter(SYSLOG.row._fields.index("peer"))


class Sorter:
    """Puts rows into their lanes, in order within each."""

    def __init__(self, config: Syslog, sink: Sink) -> None:
        self._sink = sink
        self._lane_of = tuple(Lane[getattr(config.lanes, name).upper()] for name in SEVERITIES)
        self._limit = UrgentLimit(config.urgent_rows_per_second)

    def put(self, rows: list[tuple[Any, ...]]) -> None:
        """Put rows of one chunk."""
        severities = list(map(_severity, rows))
        lanes = {self._lane_of[severity] for severity in set(severities)}
        if len(lanes) == 1:
            self._put(rows, lanes.pop())
            return
        for lane in sorted(lanes):
            wanted = [self._lane_of[severity] is lane for severity in severities]
            self._put(list(compress(rows, wanted)), lane)

    def lane_of(self, severity: int) -> Lane:
        """The lane of a severity, before any limit."""
        return self._lane_of[severity]

    def _put(self, rows: list[tuple[Any, ...]], lane: Lane) -> None:
        if lane is Lane.URGENT:
            rows = self._limited(rows)
        if rows:
            self._sink.put(SYSLOG, rows, lane=lane)

    def _limited(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Give the rows that may be urgent; put the others into normal, counted."""
        urgent: list[tuple[Any, ...]] = []
        over: list[tuple[Any, ...]] = []
        for peer in set(map(_peer, rows)):
            of_peer = [row for row in rows if row[2] == peer]
            granted = self._limit.take(peer, len(of_peer))
            urgent += of_peer[:granted]
            over += of_peer[granted:]
        if over:
            self._sink.put(SYSLOG, over, lane=Lane.NORMAL)
            self._sink.count("urgent-limit", len(over))
        return urgent
