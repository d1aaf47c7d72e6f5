"""What may reach a terminal, a journal line or a suggested command; times, sizes and durations for people.

In: what a device said, or a number. Out: text of one line that does what it shows.
"""

import re
from calendar import timegm
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

# What does something to a terminal or hides something from its reader:
_DECEIVING: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: cursor, colours, titles (ECMA-48)
    "\xad\u180e\ufeff"  # soft hyphen, Mongolian vowel separator, BOM: shown as nothing
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls: show letters in another order (UAX #9)
    "\u200b-\u200d\u2060-\u2065\u206a-\u206f"  # zero-width, invisible operators, deprecated format characters
    "\u2028\u2029"  # line and paragraph separator
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # joiner and fillers without a glyph
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # annotations, shorthand and music controls
    "\U000e0000-\U000e0fff"  # tags and supplementary variation selectors
    "\ud800-\udfff\ufffe\uffff"  # lone surrogates cannot be written at all; two noncharacters
    "]"
)
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SECOND: Final = 1_000_000_000
_TIMES: Final = range(-(1 << 63), 1 << 64)  # what MessagePack can hold
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def printable(text: str) -> str:
    r"""Replace what acts on a terminal or deceives its reader: up to U+00FF as `\xNN`, above as `\u{...}`.

    A backslash stays as it is, because Windows paths are read more often than escapes are undone; so the result is
    for reading and cannot be turned back.
    """
    return _DECEIVING.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{{{code:x}}}"


def rfc3339(ns: int) -> str:
    """Write nanoseconds since the epoch as RFC 3339 with nine digits and Z. Any 64-bit value has four-digit years."""
    seconds, rest = divmod(ns, _SECOND)
    return f"{_second_text(seconds)}{rest:09d}Z"


@lru_cache(maxsize=4096)  # rows of one batch share a few seconds: 0.3 µs instead of 1.1 µs
def _second_text(seconds: int) -> str:
    days, of_day = divmod(seconds, 86_400)
    day = datetime.fromordinal(719_163 + days)  # 719163 is 1970-01-01; fromtimestamp fails before 1970 on some systems
    return f"{day:%Y-%m-%d}T{of_day // 3600:02d}:{of_day // 60 % 60:02d}:{of_day % 60:02d}."


def read_rfc3339(text: str) -> int:
    """Read an RFC 3339 time as nanoseconds since the epoch, UTC; digits after the ninth are dropped.

    A leap second (`:60`) is the second after it. RFC 3339 section 5.6.

    Raises:
        ValueError: anything else: no zone, no such day, or beyond what 64 bits of nanoseconds hold.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not a time as in 2026-05-01T10:00:00Z")
    date, clock, second, fraction, zone = match.groups()
    is_leap = second == "60"
    local = datetime.fromisoformat(f"{date}T{clock}{'59' if is_leap else second}{'Z' if zone in 'Zz' else zone}")
    offset = local.utcoffset() or timedelta()
    seconds = timegm(local.timetuple()) - int(offset.total_seconds()) + is_leap
    ns = seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0"))
    if ns not in _TIMES:
        raise ValueError("a time beyond the years 1678 to 2554")
    return ns


def human_bytes(count: float) -> str:
    """Write a number of bytes with at most three digits: `512 B`, `1.5 MiB`, `128 KiB`."""
    size, unit = float(count), 0
    while abs(size) >= 999.5 and unit < len(_SIZES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.{0 if unit == 0 or abs(size) >= 9.95 else 1}f} {_SIZES[unit]}"


def human_count(count: int, unit: str) -> str:
    """Write a number with its unit, which is a plural in -s: `1,203 datagrams`, `1 connection`."""
    return f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"


def human_seconds(seconds: float) -> str:
    """Write a duration in one unit, short enough for a table: `350 ms`, `4.2 s`, `90 s`, `45 min`, `12 h`, `9 d`."""
    if abs(seconds) < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    for below, size, unit in ((9.95, 1, "s"), (119.5, 1, "s"), (7170, 60, "min"), (171_000, 3600, "h")):
        if abs(seconds) < below:
            return f"{seconds / size:.{1 if below < 10 else 0}f} {unit}"
    return f"{seconds / 86_400:.0f} d"
