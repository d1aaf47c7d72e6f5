"""Times of syslog messages to nanoseconds since the epoch, UTC. Nothing here raises: an unknown time is None.

RFC 5424 names year and offset. RFC 3164 names neither: the year is the one that brings the time nearest to the
receipt, the zone is the listener's.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from zoneinfo import ZoneInfo

MEMO_ENTRIES: Final = 65_536
SECOND: Final = 1_000_000_000
MONTHS: Final = {name: at for at, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:(Z)|([+-])(\d\d):?(\d\d))?", re.ASCII
)
# "Oct 11 22:14:15", with an unpadded or missing day, a year before or after, a fraction, a zone behind
BSD_TIME: Final = (
    r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}(?:(?P<day>\d{1,2}) {1,2})?"
    r"(?:(?P<year>\d{4}) )?(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?: (?P<year_after>(?:19|20)\d\d)(?=[ :]|$))?(?: (?P<zone>UTC|GMT|Z|[+-]\d\d:?\d\d)(?=[ :]|$))?"
)
_BSD: Final = re.compile(BSD_TIME, re.ASCII)


def read_iso(text: str, zone: ZoneInfo) -> int | None:
    """Read an ISO 8601 time, such as that of RFC 5424 section 6.2.3; without an offset it is of `zone`."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    tz: Any = zone
    if match[8]:
        tz = UTC
    elif match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            return None
        tz = timezone((1 if match[9] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
    return _ns([int(match[at]) for at in range(1, 7)], match[7], tz)


def read_bsd(text: str, zone: ZoneInfo, *, received_ns: int) -> int | None:
    """Read a time of RFC 3164 section 4.1.2 and its usual bends."""
    match = _BSD.fullmatch(text)
    return None if match is None else read_bsd_match(match, zone, received_ns=received_ns)


def read_bsd_match(match: re.Match[str], zone: ZoneInfo, *, received_ns: int) -> int | None:
    """Read what `BSD_TIME` has matched. A missing day is that of the receipt."""
    tz: Any = zone
    if match["zone"]:
        tz = UTC if match["zone"] in {"UTC", "GMT", "Z"} else _offset(match["zone"])
    now = datetime.fromtimestamp(received_ns / SECOND, zone)
    year, month = match["year"] or match["year_after"], MONTHS[match["month"]]
    day = int(match["day"]) if match["day"] else now.day
    clock = [int(match["hour"]), int(match["minute"]), int(match["second"])]
    years = [int(year)] if year else [now.year - 1, now.year, now.year + 1]
    times = [_ns([one, month, day, *clock], match["fraction"], tz) for one in years]
    known = [time for time in times if time is not None]
    return min(known, key=lambda time: abs(time - received_ns), default=None)


def _offset(text: str) -> timezone:
    sign = 1 if text[0] == "+" else -1
    minutes = min(23 * 60, int(text[1:3]) * 60 + int(text[-2:]))
    return timezone(sign * timedelta(minutes=minutes))


def _ns(parts: list[int], fraction: str | None, tz: Any) -> int | None:
    try:
        whole = datetime(*parts, tzinfo=tz)  # type: ignore[misc, arg-type]
        return int(whole.timestamp()) * SECOND + int((fraction or "").ljust(9, "0"))
    except (ValueError, OverflowError):
        return None


class TimeMemo(dict[str, int | None]):
    """Times without fraction by their text, for one listener; year-less ones hold for the hour of receipt."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__()
        self._zone = zone
        self._hour = 0
        self._received_ns = 0

    def at(self, received_ns: int) -> "TimeMemo":
        """Give this memo, emptied when the hour of receipt has changed."""
        hour = received_ns // (3600 * SECOND)
        if hour != self._hour:
            self.clear()
            self._hour = hour
            self._received_ns = received_ns
        return self

    def __missing__(self, text: str) -> int | None:
        if len(self) >= MEMO_ENTRIES:
            self.clear()
        if text[:1].isdigit():
            time = read_iso(text, self._zone)
        else:
            time = read_bsd(text, self._zone, received_ns=self._received_ns)
        self[text] = time
        return time
