"""Batches while there is no disk: bounded in bytes, the oldest of the lowest lane going first."""

from collections.abc import Container, Iterable, Sequence

from agent.buffer.rows import KEY_BITS, Held


class MemoryHold:
    """Holds what could not be written, until it is confirmed or the disk is back."""

    def __init__(self, limit_bytes: int, *, in_flight: Container[int]) -> None:
        self._limit_bytes = limit_bytes
        self._in_flight = in_flight
        self._lanes: tuple[dict[int, Held], ...] = ({}, {}, {})  # key → batch, oldest first
        self._parked: dict[int, str] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def add(self, new: Iterable[Held]) -> list[Held]:
        """Hold batches; give those that had to go for them. What is in flight never goes."""
        for held in new:
            self._lanes[held.name.lane][held.key] = held
            self.bytes += held.size
        gone = []
        while self.bytes > self._limit_bytes and (victim := self._victim()) is not None:
            self.remove(victim.key)
            gone.append(victim)
        return gone

    def _victim(self) -> Held | None:
        lowest_first = (held for lane in reversed(self._lanes) for held in lane.values())
        return next((held for held in lowest_first if held.key not in self._in_flight), None)

    def get(self, key: int) -> Held | None:
        """One batch."""
        return self._lanes[key >> KEY_BITS].get(key)

    def remove(self, key: int) -> Held | None:
        """Let one batch go; give it if it was here."""
        held = self._lanes[key >> KEY_BITS].pop(key, None)
        if held is not None:
            self.bytes -= held.size
            self._parked.pop(key, None)
        return held

    def park(self, key: int, reason: str) -> bool:
        """Keep a batch but read it no more; False if it is not here."""
        if self.get(key) is None:
            return False
        self._parked[key] = reason
        return True

    def read(self, lane: int, *, after: int, limit_bytes: int, without: Container[int]) -> list[Held]:
        """The oldest batches of a lane after a key, up to `limit_bytes` but at least one."""
        found = {key: held for key, held in self._lanes[lane].items() if key not in self._parked}
        return take(found, after=after, limit_bytes=limit_bytes, without=without)

    def all(self) -> list[Held]:
        """Everything, each lane oldest first."""
        return [held for lane in self._lanes for held in lane.values()]

    def parked(self, key: int) -> str | None:
        """Why a batch is parked, if it is."""
        return self._parked.get(key)

    def parked_reasons(self) -> Iterable[str]:
        """Why each parked batch is."""
        return self._parked.values()

    def lane(self, lane: int) -> Iterable[Held]:
        """What is held of a lane, oldest first."""
        return self._lanes[lane].values()

    def first(self, limit_bytes: int) -> list[Held]:
        """The first of all, up to a size but at least one."""
        return take({held.key: held for held in self.all()}, after=0, limit_bytes=limit_bytes)

    def shift(self, by: Sequence[int]) -> None:
        """Give every batch another key: the same for all of a lane, so their order stays."""
        moved = [held._replace(key=held.key + by[held.name.lane]) for held in self.all()]
        self._parked = {key + by[key >> KEY_BITS]: reason for key, reason in self._parked.items()}
        for lane in self._lanes:
            lane.clear()
        for held in moved:
            self._lanes[held.name.lane][held.key] = held


def take(held: dict[int, Held], *, after: int, limit_bytes: int, without: Container[int] = ()) -> list[Held]:
    """The oldest of some batches above a key, up to a size but at least one."""
    taken = []
    for key, one in held.items():
        if key <= after or key in without:
            continue
        taken.append(one)
        limit_bytes -= one.size
        if limit_bytes <= 0:
            break
    return taken
