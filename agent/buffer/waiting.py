"""What waits for the next transaction that holds: packed batches, ends of custody, marks, counts, declarations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from agent.buffer.losses import Losses
from agent.buffer.pack import pack
from agent.buffer.rows import Changes, Held, Packed, Sealed


class Kind(Enum):
    """What a transaction was for."""

    COMMIT = "commit"
    EVICTION = "eviction"
    DRAIN = "drain"  # of memory into the store


@dataclass(slots=True)
class Attempt:
    """A transaction that has not held yet.

    Attributes:
        number: of the commit, as the store will have it if it took place after all.
        is_taken: its batches are held in memory; the attempt waits for the next opening to be settled.
    """

    kind: Kind
    number: int
    new: Sequence[Held]
    changes: Changes
    is_taken: bool = False


class Waiting:
    """Grows while the disk is away; emptied by the commit that took it along."""

    def __init__(self, *, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        self.packed: list[Packed] = []
        self.changes = Changes()
        self.parked: dict[int, str] = {}  # key → reason; not read any more
        self.losses: Final = Losses()

    def seal(self, sealed: Sealed) -> int:
        """Compress a batch, halve it where it is too large; give how many of its rows were shrunk."""
        packed = list(pack(sealed, limit_bytes=self._message_bytes))
        self.packed += packed
        return sum(one.is_shrunk for one in packed)

    def pack(self, losses: Losses) -> list[Packed]:
        """Pack the batches that declare losses."""
        return [one for sealed in losses.sealed() for one in pack(sealed, limit_bytes=self._message_bytes)]

    def pack_losses(self) -> None:
        """Let what is to be declared go with the next commit."""
        if self.losses:
            self.packed += self.pack(self.losses)
            self.losses.clear()

    def is_readable(self, key: int) -> bool:
        """Whether a batch is neither ended nor parked, as far as we know already."""
        return key not in self.changes.done and key not in self.parked

    def for_commit(self, *, is_first: bool) -> tuple[Changes, Changes]:
        """Split into what goes now and what goes next: the first commit of an epoch leaves the ends of custody alone.

        It has one more call to make, so all commits make at most eight.
        """
        changes = self.changes
        if not is_first:
            return changes, Changes()
        return Changes(marks=changes.marks, counts=changes.counts), Changes(done=changes.done)

    def ends(self) -> Changes:
        """What may go before the batches that wait; marks may not, their rows may be among them."""
        return Changes(done=dict(self.changes.done), counts=Counter(self.changes.counts))

    def settle(self, done: Changes) -> None:
        """A transaction took place: the ends and counts that it carried do not wait any more."""
        for key in done.done:
            self.changes.done.pop(key, None)
        self.changes.counts = Counter(self.changes.counts - done.counts)
