"""The fast path: a chunk of lines to rows with a handful of C calls for all of them.

    text ──findall──► tuples of groups ──zip──► columns ──memo──► columns of values ──zip──► rows

What the pattern does not know, a time that no memo can read, a structured datum that is odd: such a line goes the
slow path, in its place. Rules that keep this safe (a test walks the parsed pattern): every alternative begins at ^
and ends at $, the last takes any line, repeats are possessive or bounded by what follows, no class can match a
newline; and lines in == rows out is checked per chunk.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add
from typing import Any, Final

from collectors.syslog.slow import Origin, parse_message, read_structured_data
from collectors.syslog.times import MEMO_ENTRIES, TimeMemo

LINE: Final = re.compile(
    r"^<(0|[1-9]\d?|1[0-8]\d|19[01])>(1 )?+"
    r"((?(2)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 1-3]\d \d\d:\d\d:\d\d))"
    r"(?(2)(?:\.(\d{1,6}+))?+(Z|[+-]\d\d:\d\d)) "
    r"(?(2)([!-~]{1,255}+) ([!-~]{1,48}+) ([!-~]{1,128}+) ([!-~]{1,32}+) "
    r'(-|(?:\[(?:[^"\]\n]|"(?:[^"\\\]\n]|\\[^\n])*+")*+\])++)(?: (?!\ufeff)|$)'
    r"|([0-9A-Za-z_](?:[0-9A-Za-z_.-]{0,253}+)) ([^\s:\[\]<>\"=%]{1,48}+)(?:\[([^\]\[\s]{1,128}+)\])?+: (?!//))"
    r"([^\n]*+)$"
    r"|^([^\n]*+)$",
    re.ASCII | re.MULTILINE,
)
_SCALE: Final = (0, *(10 ** (9 - digits) for digits in range(1, 7)))
_FACILITY: Final = {str(pri): pri >> 3 for pri in range(192)} | {"": 0}
_SEVERITY: Final = {str(pri): pri & 7 for pri in range(192)} | {"": 0}
_FORMAT: Final = {"1 ": "rfc5424", "": "rfc3164"}


class _Nil(dict[str, str | None]):
    """NILVALUE and the empty text are nil; everything else is itself. Bounded."""

    def __missing__(self, text: str) -> str | None:
        if len(self) >= MEMO_ENTRIES:
            self.clear()
        value = None if text in {"", "-"} else text
        self[text] = value
        return value


_nil = _Nil()


def parse_lines(text: str, origin: Origin, *, received_ns: int, memo: TimeMemo) -> list[tuple[Any, ...]]:
    """Parse LF-separated lines of one peer, none of them empty, to rows in order."""
    ends = (repeat(origin.peer), repeat(origin.port))
    return _parse(text, [origin], ends, received_ns=received_ns, memo=memo)


def parse_datagrams(
    text: str, origins: Sequence[Origin], *, received_ns: int, memo: TimeMemo
) -> list[tuple[Any, ...]]:
    """Parse datagrams joined by LF, the n-th from the n-th origin, to rows in order."""
    ends = ([origin.peer for origin in origins], [origin.port for origin in origins])
    return _parse(text, origins, ends, received_ns=received_ns, memo=memo)


def _parse(
    text: str,
    origins: Sequence[Origin],
    ends: tuple[Iterable[str | None], Iterable[int | None]],
    *,
    received_ns: int,
    memo: TimeMemo,
) -> list[tuple[Any, ...]]:
    found = LINE.findall(text)
    if len(found) != text.count("\n") + 1:  # cannot be, and must not go unnoticed
        lines = text.split("\n")
        return [_slow(line, origins, at, received_ns) for at, line in enumerate(lines)]
    pri, version, when, fraction, offset, host5, app, proc, msg_id, data, host3, tag, pid, message, other = zip(
        *found, strict=True
    )
    base = memo.at(received_ns).__getitem__
    seconds = map(base, map(add, when, offset))
    times: list[int | None]
    if any(fraction):
        times = [
            None if second is None else second + int(digits or 0) * _SCALE[len(digits)]
            for second, digits in zip(seconds, fraction, strict=True)
        ]
    else:
        times = list(seconds)
    structured: Iterable[Any] = repeat(None)
    if set(data) - {"-", ""}:
        structured = _structured(data, times)
    first = origins[0]
    nil = _nil.__getitem__
    rows = list(
        zip(
            times,
            repeat(received_ns),
            *ends,
            repeat(first.transport),
            repeat(first.identity),
            map(_FACILITY.__getitem__, pri),
            map(_SEVERITY.__getitem__, pri),
            map(nil, map(add, host5, host3)),
            map(nil, map(add, app, tag)),
            map(nil, map(add, proc, pid)),
            map(nil, msg_id),
            structured,
            [one or None for one in message],
            map(_FORMAT.__getitem__, version),
            repeat(None),
            repeat(None),
            repeat(None),
        )
    )
    if None in times:
        lines = text.split("\n")
        for at, time in enumerate(times):
            if time is None:
                rows[at] = _slow(lines[at], origins, at, received_ns)
    return rows


def _slow(line: str, origins: Sequence[Origin], at: int, received_ns: int) -> tuple[Any, ...]:
    origin = origins[at] if len(origins) > 1 else origins[0]
    return parse_message(line.encode(), origin, received_ns=received_ns)


def _structured(data: Sequence[str], times: list[int | None]) -> list[Any]:
    """Read each structured datum; an odd one sends its line the slow path, by taking its time away."""
    values: list[Any] = []
    for at, text in enumerate(data):
        value = None
        if text not in {"-", ""}:
            end, value, flag = read_structured_data(text, 0)
            if end != len(text) or flag is not None:
                times[at] = None
        values.append(value)
    return values
