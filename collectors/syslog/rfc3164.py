"""RFC 3164 with its usual bends, one line at a time: the right answer, whatever the line is.

    Oct 11 22:14:15 mymachine su[230]: 'su root' failed
    └─── time ────┘ └─ host ┘ └tag,pid┘ └── message ──┘

Source: RFC 3164 section 4.1 and what devices make of it: times of many kinds (`stamps.py`), blanks around the time, no
host, an address in brackets, no tag, `host :`, a colon after the time (Cisco), structured data that rsyslog puts first.
Linear: the few repeats that could backtrack are bounded by a small number.
"""

import re
from typing import Any, Final

from collectors.syslog.header import Header
from collectors.syslog.stamps import read_stamp
from collectors.syslog.structured_data import read_elements
from collectors.syslog.times import Times

_BLANKS: Final = re.compile(r"[ \t]{0,8}")
_AFTER_TIME: Final = re.compile(r"(?P<colon>:)?(?:[ \t]{1,8}|\Z)")
_ADDRESS: Final = r"\[(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,40})\]"
_HOST: Final = re.compile(rf"(-|[\w.:/@%~][\w.:/@%~-]{{0,254}}|{_ADDRESS})(?<!:)(?:[ \t]|\Z)", re.ASCII)
_TAG: Final = re.compile(  # TAG, at most 128 of it, and the process id in brackets
    r"(?P<app>[!#-9;?-Z\\^-z|~]{1,128})(?:\[(?P<pid>[^\[\] \n]{1,128})\](?:: ?| |\Z)|: |:\Z)"
)
_COLON: Final = re.compile(r" ?: ")
_OWN_DATA: Final = re.compile(r" ?\[origin ")  # what rsyslog says of itself
_MOST_DATA: Final = 2_048  # characters; it has four params


def read_rfc3164(text: str, start: int, times: Times, *, has_pri: bool) -> Header:
    """Read what follows PRI, or the whole line where there is none."""
    start = _skip(_BLANKS, text, start)
    stamp = read_stamp(text, start, times)
    if stamp is None:
        return _read_timeless(text, start, has_pri=has_pri)
    after = _AFTER_TIME.match(text, stamp.end)
    at = after.end() if after else stamp.end
    host = None if after and after["colon"] else find_host(text, at)
    if host is not None:
        at = _skip(_COLON, text, host.end()) if text[host.end() : host.end() + 1] in {" ", ":"} else host.end()
    app, pid, message = read_tag(text, at)
    data, message = _read_own_data(message) if app else (None, message)
    name = host[1].strip("[]") if host else None
    return Header(stamp.time, None if name == "-" else name, app, pid, None, data, message, "rfc3164", stamp.flags)


def _read_own_data(message: str) -> tuple[dict[str, Any] | None, str]:
    """Take structured data off a message of rsyslog about itself, which RFC 3164 has no other place for."""
    found = read_elements(message, message.index("[")) if _OWN_DATA.match(message) else None
    if (
        found is None
        or found.is_repeated
        or found.end > _MOST_DATA
        or message[found.end : found.end + 1] not in {"", " "}
    ):
        return None, message
    return found.data, message[found.end + 1 :]


def _read_timeless(text: str, start: int, *, has_pri: bool) -> Header:
    """Take `<PRI>tag[pid]: message` for RFC 3164 without a time, and anything else for a bare message."""
    app, pid, message = read_tag(text, start) if has_pri else (None, None, text[start:])
    return Header(app_name=app, proc_id=pid, message=message, format="rfc3164" if app else "none", flags=("no-time",))


def find_host(text: str, at: int) -> re.Match[str] | None:
    """Give the host at `at`; None where a tag stands in its place, or something no host is called."""
    return None if _TAG.match(text, at) else _HOST.match(text, at)


def read_tag(text: str, at: int) -> tuple[str | None, str | None, str]:
    """Give tag, process id and message; without a tag everything from `at` on is message."""
    tag = _TAG.match(text, _skip(_BLANKS, text, at))
    return (None, None, text[at:]) if tag is None else (tag["app"], tag["pid"], text[tag.end() :])


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
