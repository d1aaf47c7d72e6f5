"""Rows to lanes: one put per lane and chunk, in the order in which the rows came.

    rows ──severity──► one byte a row ──translate──► lane a row ──compress──► sink.put per lane

The severities and lanes of a chunk are byte strings, so choosing costs about 0.05 µs a row, most of it fetching the
severity. A peer that claims urgency too often is put into the normal lane, in its place among the normal rows.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import itemgetter
from typing import Final

from collectors.sink import Lane, Sink
from collectors.syslog.config import SEVERITIES, Syslog
from collectors.syslog.rows import SYSLOG
from collectors.syslog.slow import Row
from collectors.urgency import UrgentLimit

_severity_of: Final = itemgetter(SYSLOG.row._fields.index("severity"))
_peer_of: Final = itemgetter(SYSLOG.row._fields.index("peer"))
_received_of: Final = itemgetter(SYSLOG.row._fields.index("received"))
_IS: Final = {lane: bytes(code == lane for code in range(256)) for lane in Lane}


def lane_of(severity: int, config: Syslog) -> Lane:
    """The lane of one severity, before any limit."""
    return Lane[getattr(config.lanes, SEVERITIES[severity]).upper()]


class LaneSorter:
    """Owns the way from rows to the sink, and how much urgency each peer may still claim."""

    def __init__(self, config: Syslog, sink: Sink, *, urgent_rows_per_second: int | None = None) -> None:
        """`urgent_rows_per_second` of a listener that has its own."""
        self._sink = sink
        own = urgent_rows_per_second
        self._limit = UrgentLimit(config.urgent_rows_per_second if own is None else own)
        self._table = bytes(lane_of(severity, config) for severity in range(8)).ljust(256, b"\1")

    def put(self, rows: Sequence[Row]) -> None:
        """Put each row into its lane."""
        if not rows:
            return
        lanes = bytes(map(_severity_of, rows)).translate(self._table)
        if Lane.URGENT in lanes:
            lanes = self._hold_back(rows, lanes)
        for lane in Lane:
            share = lanes.count(lane)
            if share == len(rows):
                self._sink.put(SYSLOG, rows, lane=lane)
            elif share:
                self._sink.put(SYSLOG, list(compress(rows, lanes.translate(_IS[lane]))), lane=lane)

    def _hold_back(self, rows: Sequence[Row], lanes: bytes) -> bytes:
        """Give the lanes with the urgent rows that are over their peer's limit moved to normal, the last ones first."""
        urgent = lanes.translate(_IS[Lane.URGENT])
        claims = Counter(map(_peer_of, compress(rows, urgent)))
        now_ns = _received_of(rows[0])
        over = {peer: self._limit.over(peer, claimed, now_ns=now_ns) for peer, claimed in claims.items()}
        demoted = sum(over.values())
        if not demoted:
            return lanes
        self._sink.count("urgent-limit", demoted)
        allowed = {peer: claims[peer] - excess for peer, excess in over.items()}
        changed = bytearray(lanes)
        for index in compress(range(len(rows)), urgent):
            peer = _peer_of(rows[index])
            allowed[peer] -= 1
            if allowed[peer] < 0:
                changed[index] = Lane.NORMAL
        return bytes(changed)
