"""Saying a thing again only after a while: a peer that repeats itself must fill a count, not the journal."""

import time
from typing import Final

AGAIN_SECONDS: Final = 60.0
_MOST_KEYS: Final = 256  # then all are forgotten: a peer that makes up names must not fill the memory either


class Sparing:
    """Owns when each thing was said last, and how often it happened since."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, int]] = {}

    def count(self, key: str) -> int:
        """Count one more of a thing.

        Returns:
            How many there are to speak of: 1 the first time, what has gathered once a minute, else 0.
        """
        now = time.monotonic()
        at, more = self._said.get(key, (now - AGAIN_SECONDS, 0))
        if now - at < AGAIN_SECONDS:
            self._said[key] = at, more + 1
            return 0
        if len(self._said) >= _MOST_KEYS:
            self._said.clear()
        self._said[key] = now, 0
        return more + 1
