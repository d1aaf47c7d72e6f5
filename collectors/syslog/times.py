"""The times that devices write, as nanoseconds since the epoch, UTC.

    "2003-10-11T22:14:15" + "Z"  ──► memo `iso`            the same at any time
    "Oct 11 22:14:15"            ──► memo `bsd`            the year nearest to the receipt, in the listener's zone
    "Oct 11 2003 22:14:15"       ──► memo `bsd`            in the listener's zone
    "2003-10-11 time=22:14:15"   ──► memo `wall`           as if it were UTC, and in the listener's zone
    ".003" ".000003"             ──► MILLIS + MICROS       two look-ups, 0.09 µs, where int() of a padded text took 0.11

Source: RFC 5424 section 6.2.3 (RFC 3339, narrowed), RFC 3164 section 4.1.2 (no year, no zone).
Invariants: nothing here raises on any text; a memo holds valid times only, and never more than `MEMO_ENTRIES`. A
year-less time is decided by the hour of receipt, so the memo and a single reading can never disagree.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

SECOND: Final = 1_000_000_000
HOUR: Final = 3_600 * SECOND
MEMO_ENTRIES: Final = 8_192  # about 1.5 MB; one entry a second and zone, so two hours of it

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
MILLIS: Final = {"": 0} | {f"{n:03d}": n * 1_000_000 for n in range(1_000)}
MICROS: Final = {"": 0} | {f"{n:03d}": n * 1_000 for n in range(1_000)}

LOCAL: Final = "local"
"""Goes as the name of this machine's zone."""

_LOCALTIME: Final = "/etc/localtime"  # localtime(5)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MIN_YEAR: Final = 1678  # what 64 bits of nanoseconds can tell
_MAX_YEAR: Final = 2261
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_BSD: Final = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)", re.ASCII)
_WALL: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) time=(\d\d):(\d\d):(\d\d)", re.ASCII)

Date = tuple[int, int, int]
"""Year, month, day."""

Clock = tuple[int, int, int]
"""Hour, minute, second; a 60th second, as some clocks write at a leap second, is the first of the next minute."""


class Times:
    """Owns the memos of one zone. Call `at` before reading the memos for rows received then."""

    def __init__(self, zone: str) -> None:
        self.zone = _find_zone(zone)
        self.iso: dict[str, int] = {}
        self.bsd: dict[str, int] = {}
        self.wall: dict[str, tuple[int, int]] = {}
        self.hour_ns = 0

    def at(self, received_ns: int) -> None:
        """Set the hour of receipt, by which years are decided."""
        hour_ns = received_ns - received_ns % HOUR
        if hour_ns != self.hour_ns:
            self.hour_ns = hour_ns
            self.bsd.clear()

    def learn_iso(self, keys: Iterable[str]) -> None:
        """Put the valid ones of `YYYY-MM-DDThh:mm:ss` + zone into the memo."""
        for key in _missing(keys, self.iso):
            value = read_iso(key) if _ISO.fullmatch(key) else None
            if value is not None:
                self.iso[key] = value

    def learn_bsd(self, keys: Iterable[str]) -> None:
        """Put the valid ones of `Mmm dd hh:mm:ss` and `Mmm dd YYYY hh:mm:ss` into the memo."""
        for key in _missing(keys, self.bsd):
            match = _BSD.fullmatch(key)
            if match is None or match[1] not in MONTHS:
                continue
            month, day = MONTHS[match[1]], int(match[2])
            clock = (int(match[4]), int(match[5]), int(match[6]))
            if match[3]:
                value = self.local((int(match[3]), month, day), clock=clock)
            else:
                value = self.nearest(month, day, clock=clock)
            if value is not None:
                self.bsd[key] = value

    def learn_wall(self, keys: Iterable[str]) -> None:
        """Put the valid ones of `YYYY-MM-DD time=hh:mm:ss` into the memo: the instant in UTC, and in the listener's zone."""
        for key in _missing(keys, self.wall):
            match = _WALL.fullmatch(key)
            if match is None:
                continue
            date = (int(match[1]), int(match[2]), int(match[3]))
            clock = (int(match[4]), int(match[5]), int(match[6]))
            utc, local = self.local(date, clock=clock, zone=UTC), self.local(date, clock=clock)
            if utc is not None and local is not None:
                self.wall[key] = (utc, local)

    def local(self, date: Date, *, clock: Clock, zone: tzinfo | None = None) -> int | None:
        """Give the instant of a date and clock in a zone, the listener's if none is named; None if there is none."""
        hour, minute, second = clock
        leap = second == 60
        try:
            moment = datetime(*date, hour, minute, second - leap, tzinfo=zone or self.zone)
        except ValueError:
            return None
        if not _MIN_YEAR <= moment.year <= _MAX_YEAR:
            return None
        return to_ns(moment) + leap * SECOND

    def nearest(self, month: int, day: int, *, clock: Clock, zone: tzinfo | None = None) -> int | None:
        """Give the instant of a year-less time that lies nearest to the hour of receipt, None if no year has it."""
        year = (_EPOCH + timedelta(microseconds=self.hour_ns // 1_000)).year
        years = (year, year - 1, year + 1) if (month, day) != (2, 29) else range(year - 8, year + 9)
        found = (self.local((each, month, day), clock=clock, zone=zone) for each in years)
        return min((ns for ns in found if ns is not None), key=lambda ns: abs(ns - self.hour_ns), default=None)


def _find_zone(name: str) -> tzinfo:
    """Give a zone by its name in the IANA database, or this machine's own; without one of its own it is UTC."""
    if name != LOCAL:
        return UTC if name == "UTC" else ZoneInfo(name)
    try:
        with open(_LOCALTIME, "rb") as file:  # noqa: PTH123  what ZoneInfo takes is a file
            return ZoneInfo.from_file(file, key=LOCAL)
    except (OSError, ValueError):
        return UTC


def read_iso(text: str) -> int | None:
    """Read `YYYY-MM-DDThh:mm:ss[.ffffff]` + `Z` or `+hh:mm`; the form is the caller's to check, the date is not."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_ns(moment) if _MIN_YEAR <= moment.year <= _MAX_YEAR else None


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime, exact."""
    return (moment - _EPOCH) // _MICROSECOND * 1_000


def _missing(keys: Iterable[str], memo: dict[str, Any]) -> set[str]:
    """Give the keys that the memo lacks; a memo they would overfill is emptied first, so they all are missing."""
    wanted = set(keys)
    missing = wanted - memo.keys()
    if len(memo) + len(missing) > MEMO_ENTRIES:
        memo.clear()
        return wanted
    return missing
