"""What programs of this machine write to a Unix socket: RFC 3164 without a HOSTNAME, in local time.

    <13>Nov 25 10:00:00 tag[pid]: message        syslog(3) of the C library, logger -u, Go's log/syslog
        └─── time ────┘ └ tag, pid ┘

Over a network the word behind the time is a host; here it never is, and a tag may hold blanks (`my app[7]: ...`), which
no grammar of the network could tell from host and tag. So this is a property of the listener: its grammar is tried
first, and what has no such time (RFC 5424, no time at all) is read as everywhere. One host is known: this machine's own
name, which `logger --rfc3164` writes even here.

Source: syslog(3), glibc misc/syslog.c; as imuxsock of rsyslog, unix-dgram of syslog-ng and journald read it.
"""

import re
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from collectors.syslog import patterns
from collectors.syslog.columns import (
    FACILITY,
    NONE,
    Dialect,
    Found,
    Grammar,
    Origins,
    bsd_column,
    family_column,
    knows_bsd,
    knows_family,
    make_rows,
    optional_column,
)
from collectors.syslog.header import Header
from collectors.syslog.listener import Listener
from collectors.syslog.slow import Reading, Row
from collectors.syslog.times import LOCAL as LOCAL_ZONE
from collectors.syslog.times import Times

_STAMP: Final = r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "
_WORD: Final = r"[!-9;-Z\\^-~]{1,128}+"  # of a tag: no blank, no bracket, no colon
_PID: Final = r"[^\[\] \n]{1,128}+"
_TIME: Final = re.compile(_STAMP, re.ASCII)
_TAG: Final = re.compile(rf"(?P<app>[^\[\]:\n]{{1,128}}+)\[(?P<pid>{_PID})\]: ?+|(?P<word>{_WORD}):(?: |\Z)", re.ASCII)


def reading_of(listener: Listener, *, is_local: bool) -> Reading:
    """How a listener reads: a Unix socket by this machine's time and by the grammar of this module first."""
    zone = listener.zone or (LOCAL_ZONE if is_local else "UTC")
    return Reading(listener.encoding, Times(zone), read_local if is_local else None)


def read_local(text: str, start: int, times: Times) -> Header | None:
    """Read what follows PRI: time, tag and message; None where no such time stands there."""
    stamp = _TIME.match(text, start) if start else None
    if stamp is None:
        return None
    times.learn_bsd((stamp[1],))
    if stamp[1] not in times.bsd:
        return None
    host = _find_our_name(text, stamp.end())
    at = stamp.end() if host is None else stamp.end() + len(host) + 1
    tag = _TAG.match(text, at)
    app, pid = (tag["app"] or tag["word"], tag["pid"]) if tag else (None, None)
    message = text[tag.end() if tag else at :]
    return Header(times.bsd[stamp[1]], host, app, pid, message=message, format="rfc3164")


def _find_our_name(text: str, at: int) -> str | None:
    name = socket.gethostname()
    return next((each for each in (name, name.partition(".")[0]) if each and text.startswith(f"{each} ", at)), None)


def local_order() -> list[Grammar]:
    """The grammars for a Unix socket; what they do not take goes the slow way."""
    return [Grammar(patterns.LOCAL, (Dialect(1, _build, _is_known),))]


def _build(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, stamps, tag, pid, message, _ = zip(*found, strict=True)
    return make_rows(
        pri,
        origins,
        time=bsd_column(times, stamps),
        host=NONE,
        app=tag,
        proc=optional_column(pid),
        message=message,
        form="rfc3164",
        family=family_column(tag, message) or NONE,
    )


def _is_known(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_bsd(times, found[1]) and knows_family(found[2], found[4])
