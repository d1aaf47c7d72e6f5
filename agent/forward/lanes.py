"""Which lane goes next: urgent first; while lanes compete, normal and bulk keep a tenth of the bytes each."""

from collections.abc import Sequence
from typing import Final

SHARE: Final = 0.10
_CREDIT_BYTES: Final = 256 << 10  # more than that is not saved up, or a long quiet lane would stop the urgent one


class Lanes:
    """Deficit round robin with a favourite: sending earns the waiting lanes a credit, paid back when they send."""

    def __init__(self) -> None:
        self._credit = [0.0, 0.0, 0.0]

    def pick(self, sizes: Sequence[int | None]) -> int | None:
        """Choose a lane.

        Args:
            sizes: bytes of each lane's next batch, None where nothing waits.
        """
        for lane in (2, 1):
            size = sizes[lane]
            if size is not None and self._credit[lane] >= size:
                return lane
        return next((lane for lane, size in enumerate(sizes) if size is not None), None)

    def sent(self, lane: int, size: int, *, waiting: Sequence[bool]) -> None:
        """Note what was sent; `waiting` tells which lanes had something to send."""
        self._credit[lane] = max(0.0, self._credit[lane] - size)
        for other in (1, 2):
            if other == lane:
                continue
            earned = self._credit[other] + size * SHARE if waiting[other] else 0.0
            self._credit[other] = min(earned, _CREDIT_BYTES)
