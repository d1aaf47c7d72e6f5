"""A chunk of rows on its way through the rules: which still go on, in which lane, and which have ended where.

rows ──rule──► rows ──rule──► rows ...          the order of the rows never changes
        └► dropped      └► ended (kept, no later rule sees them)
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

Row = tuple[Any, ...]


class Chunk:
    """Rows of one stream that came in one lane.

    Attributes:
        rows: that later rules will see.
        dropped: on purpose, in the order in which rules dropped them.
    """

    __slots__ = ("_ended", "_lanes", "_places", "dropped", "rows")

    def __init__(self, rows: Sequence[Row], lane: int) -> None:
        self.rows = list(rows)
        self.dropped: list[Row] = []
        self._lanes = bytearray((lane,)) * len(rows)
        self._places: Sequence[int] = range(len(rows))
        self._ended: list[tuple[int, int, Row]] = []

    def drop(self, hits: Sequence[int]) -> None:
        """Let rows go; `hits` are indices of `rows`, ascending."""
        self.dropped += [self.rows[hit] for hit in hits]
        self._take_out(hits)

    def end(self, hits: Sequence[int]) -> None:
        """Keep rows as they are: no later rule sees them."""
        self._ended += [(self._places[hit], self._lanes[hit], self.rows[hit]) for hit in hits]
        self._take_out(hits)

    def put_in_lane(self, hits: Sequence[int], lane: int) -> None:
        """Change the lane of rows."""
        for hit in hits:
            self._lanes[hit] = lane

    def _take_out(self, hits: Sequence[int]) -> None:
        stays = bytearray(b"\1") * len(self.rows)
        for hit in hits:
            stays[hit] = 0
        self.rows = list(compress(self.rows, stays))
        self._lanes = bytearray(compress(self._lanes, stays))
        self._places = list(compress(self._places, stays))

    def by_lane(self) -> list[tuple[int, list[Row]]]:
        """Give what was kept, lane by lane, in the order in which it came."""
        if self._ended:
            whole = sorted([*self._ended, *zip(self._places, self._lanes, self.rows, strict=True)], key=_place)
            lanes, rows = bytearray(lane for _, lane, _ in whole), [row for _, _, row in whole]
        else:
            lanes, rows = self._lanes, self.rows
        return [(lane, list(compress(rows, (each == lane for each in lanes)))) for lane in sorted(set(lanes))]


def _place(kept: tuple[int, int, Row]) -> int:
    return kept[0]
