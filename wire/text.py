"""What may reach a terminal, a journal line or a suggested command; and times as people and machines read them."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

# C0, DEL and C1 can move a cursor or change a colour; bidi controls and invisible characters make a text read other
# than it is (Unicode TR 36); line and paragraph separators break a line in two.
_DANGEROUS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_SECOND: Final = 1_000_000_000


def printable(text: str) -> str:
    r"""Write every character that could deceive or command a terminal as `\xNN` or `\uNNNN`."""
    return _DANGEROUS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


@lru_cache(4096)
def _rfc3339_second(second: int) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    except (ValueError, OverflowError, OSError):
        return "0000-00-00T00:00:00"  # a time beyond the calendar: readable, sortable, and no date


def rfc3339(ns: int) -> str:
    """Write nanoseconds since the epoch as RFC 3339, UTC, with all nine digits."""
    second, fraction = divmod(ns, _SECOND)
    return f"{_rfc3339_second(second)}.{fraction:09d}Z"


def read_rfc3339(text: str) -> int:
    """Read RFC 3339 (section 5.6) to nanoseconds since the epoch.

    Raises:
        ValueError: no such time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time like 2026-01-31T08:00:00Z")
    whole = datetime(*map(int, match.group(1, 2, 3, 4, 5, 6)), tzinfo=UTC)  # type: ignore[misc, arg-type]
    offset = 60 * (60 * int(match[9] or 0) + int(match[10] or 0)) * (-1 if match[8] == "-" else 1)
    return (int(whole.timestamp()) - offset) * _SECOND + int((match[7] or "").ljust(9, "0"))


def human_bytes(count: float) -> str:
    """Bytes in at most six characters: `512 B`, `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """A span of time in at most six characters: `250 ms`, `12 s`, `3.5 h`, `9 d`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
