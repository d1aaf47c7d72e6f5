"""Batches while there is no disk: under an epoch of their own, bounded in bytes, the oldest bulk going first."""

import os
from collections import Counter

from agent.buffer.rows import Held
from wire.names import EPOCH_BYTES


class MemoryHold:
    """Holds what could not be written, until it is confirmed or the disk is back."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.epoch = os.urandom(EPOCH_BYTES)
        self.seqs = [0, 0, 0]
        self.held: dict[int, Held] = {}
        self.bytes = 0
        self.counts: Counter[tuple[str, str]] = Counter()  # (stream, what) → rows, for the account when the disk is back

    def add(self, held: Held) -> list[Held]:
        """Hold one batch; give those that had to go for it."""
        self.held[held.key] = held
        self.bytes += held.size
        gone = []
        while self.bytes > self._limit_bytes and len(self.held) > 1:
            victim = min(self.held.values(), key=lambda one: (-one.name.lane, one.key))
            self._remove(victim.key)
            self.counts[victim.stream, "received"] += victim.rows
            self.counts[victim.stream, "dropped:memory-full"] += victim.rows
            gone.append(victim)
        return gone

    def end(self, key: int, what: str) -> bool:
        """Note the end of a batch's custody; False if it is not held here."""
        held = self._remove(key)
        if held is None:
            return False
        self.counts[held.stream, "received"] += held.rows
        self.counts[held.stream, what] += held.rows
        return True

    def _remove(self, key: int) -> Held | None:
        held = self.held.pop(key, None)
        if held is not None:
            self.bytes -= held.size
        return held
