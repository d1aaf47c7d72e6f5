"""Behind `edgepost parse`: which row each line becomes, and why. One non-empty line gives one row, in input order."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from collectors.sink import Lane, Stream
from collectors.syslog.config import SEVERITIES, Listener, Syslog
from collectors.syslog.rows import SYSLOG, SyslogRow
from collectors.syslog.slow import Origin, parse_message

_FLAGS = {
    "no-pri": "no <PRI>: taken as user.notice",
    "bad-pri": "a PRI above 191 or not a number: taken as user.notice, the text kept whole",
    "no-time": "no time at the place of the header's",
    "bad-time": "a time that no calendar has",
    "bad-header": "looks like RFC 5424 and breaks its grammar: the text kept whole",
    "bad-sd": "structured data that break RFC 5424 section 6.3: the text kept whole",
    "repeated-sd": "an SD-ID stands twice: merged",
    "encoding": "not UTF-8: the message is read in the listener's encoding, the bytes are in raw",
    "cut": "longer than the limit: cut there",
}


class Explained(NamedTuple):
    """One line's row, where it goes, and why it looks as it does."""

    stream: Stream
    lane: Lane
    row: tuple[Any, ...]
    why: tuple[str, ...]


def explain(
    lines: Iterable[bytes],
    *,
    config: Syslog | None = None,
    zone: str | None = None,
    encoding: str | None = None,
    received_ns: int | None = None,
) -> Iterator[Explained]:
    """Parse lines as the first listener of `config` would."""
    config = config or Syslog()
    listener = config.listeners[0] if config.listeners else Listener(bind="udp://[::]:514")
    origin = Origin(listener.transport, ZoneInfo(zone or listener.zone), encoding or listener.encoding)
    for line in lines:
        data = line.rstrip(b"\r\n\0")
        if not data:
            continue
        row = parse_message(data, origin, received_ns=received_ns or time.time_ns())
        named = SyslogRow(*row)
        lane = Lane[getattr(config.lanes, SEVERITIES[named.severity]).upper()]
        why = [f"header: {named.format}", f"severity {SEVERITIES[named.severity]} goes {lane.name.lower()}"]
        why += [_FLAGS.get(flag, flag) for flag in (named.flag or "").split()]
        yield Explained(SYSLOG, lane, row, tuple(why))
