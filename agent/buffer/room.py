"""How much room there is, and who has to go when there is none.

The store is bounded twice: by `limit_bytes`, and by `keep_free` of the file system, below which it reuses its own
pages and does not grow. Each lane has a guaranteed share; the lowest lane above its share is evicted first, oldest
first, batches in flight never.
"""

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Final

from agent.buffer.reserve import Disk, Reserve, disk_of
from agent.buffer.rows import BufferSettings, Held, Victim
from agent.buffer.schema import PAGE_BYTES
from agent.buffer.store import Store
from agent.buffer.tables import LaneRow

WAL_BYTES: Final = 4 << 20  # checkpoint above it; also what the limit sets aside for the WAL
FLOOR_BYTES: Final = 16 << 20  # what the store may always take, however full the disk
KEEP_FREE_BYTES: Final = 64 << 20  # of the file system, at least
RESERVE_BYTES: Final = 16 << 20
SHARES: Final = (20, 40, 10)  # percent of the limit guaranteed to urgent, normal, bulk
EVICT_BATCHES: Final = 256  # at most in one transaction
_SLACK: Final = 128  # evict a 128th of the limit more than needed, so that not every commit evicts
_FRAME_BYTES: Final = PAGE_BYTES + 24  # a page in the WAL


class Room:
    """Sizes as of the last look, and the bounds that follow from them."""

    def __init__(self, folder: Path, settings: BufferSettings, *, in_flight: Container[int]) -> None:
        self._folder = folder
        self._settings = settings
        self._in_flight = in_flight
        self._reserve = Reserve(folder, RESERVE_BYTES)
        self._wal_written = 0  # bytes in the WAL since the last checkpoint, by our own count
        self._no_growth: int | None = None  # the limit since the disk became tight: what the store took then
        self.disk = Disk(0, 0)
        self.limit_bytes = settings.limit_bytes
        self.live_bytes = 0
        self.wal_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Live pages and the WAL."""
        return self.live_bytes + self.wal_bytes

    @property
    def keep_free(self) -> int:
        """What must stay free on the file system."""
        return max(KEEP_FREE_BYTES, self.disk.size * self._settings.keep_free_percent // 100)

    @property
    def is_tight(self) -> bool:
        """Whether others need the disk more than we do."""
        return self.disk.free < self.keep_free

    def measure(self, store: Store) -> None:
        """Look at the store and at the disk."""
        self.disk = disk_of(self._folder)
        self.live_bytes = store.live_bytes()
        self.wal_bytes = store.wal_bytes()
        if not self.is_tight:
            self._no_growth = None
            self._reserve.keep(self.disk, keep_free=self.keep_free)
        elif self._no_growth is None:
            self._no_growth = max(FLOOR_BYTES, store.file_bytes() + WAL_BYTES)
        self.limit_bytes = min(self._settings.limit_bytes, self._no_growth or self._settings.limit_bytes)

    def excess(self) -> int:
        """Bytes to evict, nought while there is room."""
        over = self.live_bytes + max(self.wal_bytes, WAL_BYTES) - self.limit_bytes
        return over + self.limit_bytes // _SLACK if over > 0 else 0

    @property
    def reason(self) -> str:
        """Why batches are evicted now."""
        return "disk-full" if self.is_tight else "limit"

    def wrote(self, new: Sequence[Held], deleted: int) -> None:
        """Count what a commit put into the WAL: overflow pages of each batch, one leaf, and the small tables."""
        pages = 12 + deleted + sum(held.size // PAGE_BYTES + 2 for held in new)
        self._wal_written += pages * _FRAME_BYTES

    def checkpoint_when_due(self, store: Store) -> None:
        """Copy the WAL into the file when it is large enough to be worth it."""
        if self._wal_written > WAL_BYTES:
            self._wal_written = 0
            store.checkpoint("PASSIVE")

    def release(self, store: Store) -> None:
        """Give the reserve up, so that the WAL can be copied and begun anew."""
        self._reserve.release()
        store.checkpoint("TRUNCATE")
        self._wal_written = 0

    def victims(self, store: Store, needed: int) -> list[Victim]:
        """Choose what to evict next; empty when nothing may go."""
        for lane, most in self._order(store.tables.lanes):
            chosen = self._oldest(store, lane, min(needed, most))
            if chosen:
                return chosen
        return []

    def _order(self, lanes: Sequence[LaneRow]) -> list[tuple[int, int]]:
        """Lanes above their share and by how much, lowest first; then, if need be, all of them, lowest first."""
        shares = [self.limit_bytes * percent // 100 for percent in SHARES]
        above = [(lane, lanes[lane].bytes - shares[lane]) for lane in (2, 1, 0) if lanes[lane].bytes > shares[lane]]
        return [*above, *((lane, lanes[lane].bytes) for lane in (2, 1, 0) if lanes[lane].batches)]

    def _oldest(self, store: Store, lane: int, needed: int) -> list[Victim]:
        chosen: list[Victim] = []
        after = 0
        while needed > 0 and len(chosen) < EVICT_BATCHES:
            found = store.oldest(lane, after=after, limit=EVICT_BATCHES)
            if not found:
                break
            after = found[-1].key
            for held in found:
                if held.key not in self._in_flight and needed > 0:
                    chosen.append(held)
                    needed -= held.size
        return chosen[:EVICT_BATCHES]

    def hours_left(self, held: Sequence[int], bytes_per_second: float) -> list[float | None]:
        """For each lane, until its oldest batch would go if nobody confirmed any more.

        The room that is left is taken first, then what lower lanes hold above their shares.

        Args:
            held: bytes of each lane.
            bytes_per_second: of all lanes together.
        """
        if bytes_per_second <= 0:
            return [None, None, None]
        shares = [self.limit_bytes * percent // 100 for percent in SHARES]
        room = max(0, self.limit_bytes - self.live_bytes - WAL_BYTES)
        lower = [sum(max(0, held[below] - shares[below]) for below in range(lane + 1, 3)) for lane in range(3)]
        return [(room + before) / bytes_per_second / 3600 for before in lower]
