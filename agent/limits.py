"""Maps and lists within the limits of the wire: what a receiver would refuse, with a whole batch, is changed here.

    value ──plain types, str keys──► mended      {1: x} → {"1": x}, a set → a list, anything else → its repr
          ──lengths, levels, count──► shrunk     the first elements stay, what is too deep is nil

The limits are those of `wire/body.py`; see `docs/wire-format.md`, section "Limits".
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from wire.body import MAX_DEPTH, MAX_LIST

ROW_VALUES: Final = 100_000  # in the maps and lists of one row; a batch may have 1,000,000
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_SCALARS: Final = (str, bytes, float, bool, type(None))


class Fitted(NamedTuple):
    """A value within the limits, and what had to be done for it."""

    value: Any
    is_shrunk: bool
    is_mended: bool


class _Walk:
    """One walk over the values of a row; a strict one looks into every text too."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self.left = ROW_VALUES
        self.is_shrunk = False
        self.is_mended = False

    def value(self, value: Any, depth: int) -> Any:
        if type(value) is str and self._is_strict:
            return self._text(value)
        if type(value) in _SCALARS:
            return value
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._many(value, depth)
        if type(value) is int and _INT_MIN <= value <= _INT_MAX:
            return value
        self.is_mended = True
        return plain(value)

    def _many(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self.is_shrunk = True
            return None
        room = min(len(value), MAX_LIST, self.left)
        self.is_shrunk |= room < len(value)
        self.left -= room
        if isinstance(value, dict):
            pairs = zip(range(room), value.items(), strict=False)
            return {self._key(key): self.value(item, depth + 1) for _, (key, item) in pairs}
        self.is_mended |= isinstance(value, set | frozenset)
        return [self.value(item, depth + 1) for _, item in zip(range(room), value, strict=False)]

    def _key(self, key: Any) -> str:
        if type(key) is str:
            return self._text(key) if self._is_strict else key
        self.is_mended = True
        return str(plain(key))

    def _text(self, text: str) -> str:
        mended = str(plain(text))
        self.is_mended |= mended != text
        return mended


def plain(value: Any) -> Any:
    """Make one value plain: lone surrogates escaped, integers beyond 64 bits nil, the unknown its repr."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return int(value) if _INT_MIN <= value <= _INT_MAX else None
    return plain(repr(value))


def fit_row(row: Sequence[Any], nested: Iterable[int] | None = None) -> Fitted:
    """Give a row whose maps and lists are within the limits; the same row where they were.

    Args:
        row: its values.
        nested: indexes of the maps and lists; None: look at every value, and into every text.
    """
    walk = _Walk(is_strict=nested is None)
    indexes = range(len(row)) if nested is None else nested
    fitted = {index: walk.value(row[index], 1) for index in indexes if row[index]}
    if not (walk.is_shrunk or walk.is_mended):
        return Fitted(row, is_shrunk=False, is_mended=False)
    values = [fitted.get(index, value) for index, value in enumerate(row)]
    return Fitted(tuple(values), walk.is_shrunk, walk.is_mended)
