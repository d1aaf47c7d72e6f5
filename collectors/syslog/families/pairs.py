"""Keys and values at the beginning of a message: `date=2024-03-05 devname="fw 1" ...` in, a few of them out."""

import re
from collections.abc import Iterable
from typing import Final

from collectors.syslog.times import Clock, Date

MOST: Final = 32  # pairs looked at; headers have less than half of it
FORTIGATE_KEYS: Final = (
    "devname|devid|device_id|eventtime|tz|logid|log_id|type|subtype|eventtype|level|pri|vd|logver|idseq|timestamp"
)
"""What FortiOS writes before anything that a user could have a say in."""

_PAIR: Final = {
    " ": re.compile(r'([\w.]{1,64})=(?:"([^"\n]{0,512})"|([^ ,"\n]{0,512}))(?:[ ,]|\Z)'),
    "|": re.compile(r"([\w.]{1,64})=()([^|\n]{0,512})(?:\||\Z)"),
}
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.ASCII)


def read_pairs(text: str, *, names: Iterable[str], between: str = " ") -> dict[str, str]:
    """Read pairs from the beginning on, until the first that is not called for; of equal names the first counts."""
    wanted = set(names)
    found: dict[str, str] = {}
    at = 0
    for _ in range(MOST):
        match = _PAIR[between].match(text, at)
        if match is None or match[1] not in wanted:
            break
        found.setdefault(match[1], match[2] or match[3] or "")
        at = match.end()
    return found


def clock_of(date: str, clock: str) -> tuple[Date, Clock, int]:
    """Give date, clock and the nanoseconds of its fraction; what is not one becomes a date that does not exist."""
    day, hour = _DATE.fullmatch(date), _CLOCK.fullmatch(clock)
    return (
        (int(day[1]), int(day[2]), int(day[3])) if day else (0, 0, 0),
        (int(hour[1]), int(hour[2]), int(hour[3])) if hour else (99, 0, 0),
        int((hour[4] or "").ljust(9, "0")) if hour else 0,
    )
