"""Many whole numbers in little memory: nearly all of them follow one another."""

from bisect import bisect_right


class Ranges:
    """A set of numbers, kept as sorted ranges that do not touch."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def add(self, number: int) -> bool:
        """Add a number; tell whether it was not there."""
        firsts, lasts = self._firsts, self._lasts
        at = bisect_right(firsts, number) - 1  # the range that begins at or before it
        if at >= 0 and number <= lasts[at]:
            return False
        joins_before = at >= 0 and lasts[at] == number - 1
        joins_after = at + 1 < len(firsts) and firsts[at + 1] == number + 1
        if joins_before and joins_after:
            lasts[at] = lasts.pop(at + 1)
            del firsts[at + 1]
        elif joins_before:
            lasts[at] = number
        elif joins_after:
            firsts[at + 1] = number
        else:
            firsts.insert(at + 1, number)
            lasts.insert(at + 1, number)
        return True
