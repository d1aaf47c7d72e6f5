"""Bytes per second of each lane, fading over a minute; nothing runs while nothing comes."""

import math
from typing import Final

FADE_SECONDS: Final = 60.0


class Rates:
    """One exponentially fading sum a lane: a steady flow shows its rate, silence fades to nought."""

    def __init__(self) -> None:
        self._sums = [0.0, 0.0, 0.0]
        self._at = [0.0, 0.0, 0.0]

    def add(self, lane: int, size: int, *, now: float) -> None:
        """Count bytes at a monotonic time in seconds."""
        self._sums[lane] = self.of(lane, now=now) * FADE_SECONDS + size
        self._at[lane] = now

    def of(self, lane: int, *, now: float) -> float:
        """Bytes per second."""
        return self._sums[lane] * math.exp((self._at[lane] - now) / FADE_SECONDS) / FADE_SECONDS
