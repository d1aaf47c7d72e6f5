"""Names for batches: the epoch of this opening, each lane's next seq, each lane's next key.

Naming is pure; a name is spent only when its batch is durable, or held in memory for good. Until then nothing has
left under it, so a commit that failed may name the same batches again.
"""

import os
import time
from collections.abc import Sequence
from typing import Final

from agent import clock
from agent.buffer.rows import KEY_BITS, Held, Origin, Packed
from agent.buffer.tables import number_of
from wire.batch import Head, digest, encode_head
from wire.names import EPOCH_BYTES, BatchName

BLIND: Final = 1 << 47  # first key of a lane while no store could be opened yet: far above any key of any store


class Names:
    """What the next batches are called."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.next = [BLIND, BLIND, BLIND]
        self.draw()

    def draw(self) -> None:
        """Begin a new epoch: at every opening, after a failed commit, after a conflict."""
        self.epoch = os.urandom(EPOCH_BYTES)
        self.seqs = [0, 0, 0]

    @property
    def is_blind(self) -> bool:
        """Whether keys are given without knowing those of the store."""
        return min(self.next) >= BLIND

    def go_on(self, nexts: Sequence[int], *, blind: Sequence[Held]) -> list[int]:
        """Go on where the keys of a store end.

        Args:
            nexts: the store's next key in each lane.
            blind: what is held of those that were named blindly, each lane oldest first.

        Returns:
            By how much keys move in each lane: those of `blind`, and all that a reader remembers. Nought if they stay.
        """
        if not self.is_blind:
            self.next = [max(ours, theirs) for ours, theirs in zip(self.next, nexts, strict=True)]
            return [0, 0, 0]
        firsts = {held.name.lane: number_of(held.key) for held in reversed(blind)}
        moved = [theirs - firsts.get(lane, self.next[lane]) for lane, theirs in enumerate(nexts)]
        self.next = [ours + by for ours, by in zip(self.next, moved, strict=True)]
        return moved

    def name(self, packed: Sequence[Packed]) -> list[Held]:
        """Name batches in order: seq and key are the lane's last plus one."""
        now_ns, mono_ns, state = time.time_ns(), clock.since_boot_ns(), clock.clock_state()
        count = [0, 0, 0]
        named = []
        for one in packed:
            lane = one.lane
            count[lane] += 1
            name = BatchName(self.epoch, lane, self.seqs[lane] + count[lane])
            head = self._head(one, name, mono_ns=mono_ns, state=state)
            key = lane << KEY_BITS | (self.next[lane] + count[lane] - 1)
            named.append(Held(name, key, one.stream, one.rows, digest(head, one.body), head, one.body, now_ns))
        return named

    def _head(self, one: Packed, name: BatchName, *, mono_ns: int, state: str) -> bytes:
        return encode_head(
            Head(
                agent=self._origin.agent,
                site=self._origin.site,
                stream=one.stream,
                lane=name.lane,
                epoch=name.epoch,
                seq=name.seq,
                rows=one.rows,
                columns=one.columns,
                first_ns=one.first_ns,
                last_ns=one.last_ns,
                boot=self._origin.boot,
                mono_ns=mono_ns,
                clock=state,
            )
        )

    def spend(self, named: Sequence[Held]) -> None:
        """These names are given for good."""
        for held in named:
            self.seqs[held.name.lane] = held.name.seq
            self.next[held.name.lane] = number_of(held.key) + 1
