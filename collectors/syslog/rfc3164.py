"""RFC 3164 with its usual bends, one line at a time: the right answer, whatever the line is.

    Oct 11 22:14:15 mymachine su[230]: 'su root' failed
    └─── time ────┘ └─ host ┘ └tag,pid┘ └── message ──┘

Source: RFC 3164 section 4.1 and what devices make of it: the day unpadded or missing, the year before or after,
fractions of a second, ISO 8601, blanks around the time, no host, no tag, `host :`, a colon after the time (Cisco).
Linear: the few repeats that could backtrack are bounded by a small number.
"""

import re
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

from collectors.syslog.header import Header
from collectors.syslog.times import MONTHS, Times

_FRACTION: Final = r"(?:[.,](?P<fraction>\d{1,9})\d{0,9})?"
_OFFSET: Final = r"[+-](?:[01]\d|2[0-3])"
_BSD: Final = re.compile(
    r"(?:(?P<year_first>\d{4}) )?(?P<month>[A-Za-z]{3}) {1,2}(?:(?P<day>\d{1,2}) {1,2})?"
    r"(?:(?P<year_inside>\d{4}) )?(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)"
    rf"{_FRACTION}(?: (?P<year_last>(?:19|20)\d\d)(?= |: ))?(?: ?(?P<zone>UTC|GMT|Z|{_OFFSET}:?[0-5]\d)(?= |: ))?",
    re.ASCII,
)
_ISO: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})[T ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    rf"{_FRACTION}(?: ?(?P<zone>Z|{_OFFSET}(?::?[0-5]\d)?)(?:[Z+-][\d:]{{0,5}})?(?=[ \t:]|\Z))?",
    re.ASCII,
)
_BLANKS: Final = re.compile(r"[ \t]{0,8}")
_AFTER_TIME: Final = re.compile(r"(?P<colon>:)?(?:[ \t]{1,8}|\Z)")
_HOST: Final = re.compile(r"(-|[\w.:/@%~][\w.:/@%~-]{0,254})(?<!:)(?:[ \t]|\Z)", re.ASCII)
_TAG: Final = re.compile(  # TAG, at most 128 of it, and the process id in brackets
    r"(?P<app>[!#-9;?-Z\\^-z|~]{1,128})(?:\[(?P<pid>[^\[\] \n]{1,128})\](?:: ?| |\Z)|: |:\Z)"
)
_COLON: Final = re.compile(r" ?: ")
_ZONES: Final = {"Z": UTC, "UTC": UTC, "GMT": UTC}


class _Stamp(NamedTuple):
    """A time that was recognised: where it ends, and its value, None where the date does not exist."""

    time: int | None
    end: int
    flags: tuple[str, ...]


def read_rfc3164(text: str, start: int, times: Times, *, has_pri: bool) -> Header:
    """Read what follows PRI, or the whole line where there is none."""
    start = _skip(_BLANKS, text, start)
    stamp = _read_time(text, start, times)
    if stamp is None:
        return _read_timeless(text, start, has_pri=has_pri)
    after = _AFTER_TIME.match(text, stamp.end)
    at = after.end() if after else stamp.end
    host = None if after and after["colon"] else _find_host(text, at)
    if host is not None:
        at = _skip(_COLON, text, host.end()) if text[host.end() : host.end() + 1] in {" ", ":"} else host.end()
    app, pid, message = _read_tag(text, at)
    name = host[1] if host else None
    return Header(stamp.time, None if name == "-" else name, app, pid, None, None, message, "rfc3164", stamp.flags)


def _read_timeless(text: str, start: int, *, has_pri: bool) -> Header:
    """Take `<PRI>tag[pid]: message` for RFC 3164 without a time, and anything else for a bare message."""
    app, pid, message = _read_tag(text, start) if has_pri else (None, None, text[start:])
    return Header(app_name=app, proc_id=pid, message=message, format="rfc3164" if app else "none", flags=("no-time",))


def _find_host(text: str, at: int) -> re.Match[str] | None:
    """Give the host at `at`; None where a tag stands in its place, or something no host is called."""
    return None if _TAG.match(text, at) else _HOST.match(text, at)


def _read_tag(text: str, at: int) -> tuple[str | None, str | None, str]:
    """Give tag, process id and message; without a tag everything from `at` on is message."""
    tag = _TAG.match(text, _skip(_BLANKS, text, at))
    return (None, None, text[at:]) if tag is None else (tag["app"], tag["pid"], text[tag.end() :])


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _read_time(text: str, start: int, times: Times) -> _Stamp | None:
    match = _BSD.match(text, start)
    if match and match["month"].title() in MONTHS:
        stamp = _bsd_stamp(match, times)
    else:
        match = _ISO.match(text, start)
        if match is None:
            return None
        stamp = _iso_stamp(match, times)
    follows = text[stamp.end : stamp.end + 1]
    return stamp if follows in {"", " ", ":", "\t"} else None


def _bsd_stamp(match: re.Match[str], times: Times) -> _Stamp:
    year = match["year_first"] or match["year_inside"] or match["year_last"]
    month = MONTHS[match["month"].title()]
    zone = _zone(match["zone"])
    flags: tuple[str, ...] = ()
    if match["day"] is None:
        ns, flags = _without_day(match, times, month=month), ("no-day",)
    elif year:
        ns = times.local((int(year), month, int(match["day"])), clock=_clock(match), zone=zone)
    else:
        ns = times.nearest(month, int(match["day"]), clock=_clock(match), zone=zone)
    return _stamp(match, ns, flags)


def _without_day(match: re.Match[str], times: Times, *, month: int) -> int | None:
    """Take the day of that month that lies nearest to the receipt."""
    clock, zone = _clock(match), _zone(match["zone"])
    found = (times.nearest(month, day, clock=clock, zone=zone) for day in range(1, 32))
    return min((ns for ns in found if ns is not None), key=lambda ns: abs(ns - times.hour_ns), default=None)


def _iso_stamp(match: re.Match[str], times: Times) -> _Stamp:
    date = (int(match["year"]), int(match["month"]), int(match["day"]))
    return _stamp(match, times.local(date, clock=_clock(match), zone=_zone(match["zone"])), ())


def _stamp(match: re.Match[str], ns: int | None, flags: tuple[str, ...]) -> _Stamp:
    if ns is None:
        return _Stamp(None, match.end(), (*flags, "bad-time"))
    return _Stamp(ns + int((match["fraction"] or "").ljust(9, "0")), match.end(), flags)


def _clock(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match["hour"]), int(match["minute"]), int(match["second"])


def _zone(text: str | None) -> tzinfo | None:
    """Give the zone that a time names, None for the listener's own."""
    if text is None or text in _ZONES:
        return None if text is None else _ZONES[text]
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
