"""Behind `edgepost parse`: which row each line of a file becomes, and why.

The file is read as the collector reads a TCP stream: by its framing, within its limits, in order, each message by the
oracle that its fast path must agree with. A line that is not empty is one row, unless octet counts or NUL say
otherwise. There is no sender, so peer, port and transport are nil.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from collectors.sink import Lane, Stream
from collectors.syslog.config import SEVERITIES, Syslog
from collectors.syslog.families.table import NAMED
from collectors.syslog.framing import Framer, Frames
from collectors.syslog.lanes import lane_of
from collectors.syslog.local import read_local
from collectors.syslog.rows import SYSLOG, SyslogRow
from collectors.syslog.slow import Origin, Reading, parse_line
from collectors.syslog.structured_data import MAX_PARAMS
from collectors.syslog.times import Times

FLAGS: Final = {
    "no-pri": "there is no <PRI>: taken as user.notice (RFC 3164 section 4.3.3)",
    "bad-pri": "PRI is not a number from 0 to 191 without leading zeros: taken as user.notice",
    "no-time": "there is no time where one would stand",
    "bad-time": "the time breaks its grammar or does not exist",
    "no-day": "the time has no day of the month: the one nearest to the receipt is taken",
    "bad-host": "HOSTNAME breaks RFC 5424: from there on everything is message",
    "bad-app": "APP-NAME breaks RFC 5424: from there on everything is message",
    "bad-procid": "PROCID breaks RFC 5424: from there on everything is message",
    "bad-msgid": "MSGID breaks RFC 5424: from there on everything is message",
    "bad-sd": "STRUCTURED-DATA breaks RFC 5424: from there on everything is message",
    "repeated-sd": "an SD-ID stands twice, which RFC 5424 forbids: its parameters are merged",
    "cut-sd": f"more than {MAX_PARAMS:,} elements and parameters: the map holds the first of them, raw holds all",
    "encoding": "the bytes are not UTF-8: message by the listener's encoding, header with \\xNN",
    "cut": "the message was longer than the limit, or its stream ended inside it: this is its beginning",
    "shrunk": "the row was too large for a message to the center: it lost raw, then the tail of message, then more",
}
"""Every flag a row can have, and what it says (`docs/collectors/syslog.md`, "Flags")."""

_FORMATS: Final = {
    "rfc5424": "header by RFC 5424: a version follows PRI",
    "rfc3164": "header by RFC 3164 and its usual bends",
    "none": "no header is recognised: everything after PRI is message",
}
_OWN_HEADER: Final = "no header of an RFC: the family has its own, or none"


class Explained(NamedTuple):
    """One line's row, where it goes, and the reasons in words."""

    stream: Stream
    lane: Lane
    row: tuple[Any, ...]
    why: tuple[str, ...]


def explain(
    chunks: Iterable[bytes],
    *,
    config: Syslog | None = None,
    zone: str | None = None,
    encoding: str | None = None,
    received_ns: int | None = None,
) -> Iterator[Explained]:
    """Give one row for each message, as soon as it ends.

    Args:
        chunks: of the stream, cut anywhere.
        config: whose lanes and, by its first listener, limit, zone and encoding are used; the defaults if None.
        zone: instead of the listener's.
        encoding: instead of the listener's.
        received_ns: the time of receipt, by which years are decided; now if None.
    """
    config = config or Syslog()
    listener = config.listeners[0]
    is_local = listener.address.is_unix
    times = Times(zone or listener.zone_name)
    reading = Reading(encoding or listener.encoding, times, read_local if is_local else None)
    for message, is_cut in _messages(chunks, listener.max_message_bytes):
        received = time.time_ns() if received_ns is None else received_ns
        reading.times.at(received)
        row = parse_line(message, origin=Origin(received, None, None, None), reading=reading, is_cut=is_cut)
        severity = SyslogRow(*row).severity
        lane = lane_of(severity, config)
        yield Explained(SYSLOG, lane, row, (*_reasons(SyslogRow(*row)), _lane_reason(severity, lane)))


def _messages(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Frame a stream; give each message, and whether it is only the beginning of one."""
    framer = Framer(max_bytes, lambda _: None)
    for chunk in chunks:
        frames = framer.feed(chunk)
        yield from _of(framer.cut(frames.data) if frames.block else frames)
    yield from _of(framer.finish())


def _of(frames: Frames) -> Iterator[tuple[bytes, bool]]:
    return ((message, index in frames.beginnings) for index, message in enumerate(frames.messages))


def _reasons(row: SyslogRow) -> Iterator[str]:
    yield _OWN_HEADER if row.family and row.format == "none" else _FORMATS[row.format]
    if row.family:
        yield f"family {row.family}: {NAMED[row.family].sign}"
        if NAMED[row.family].gives:
            yield f"read beyond the header: {NAMED[row.family].gives}"
    for flag in (row.flag or "").split():
        yield f"{flag}: {FLAGS[flag]}"


def _lane_reason(severity: int, lane: Lane) -> str:
    return f"severity {SEVERITIES[severity]} takes the {lane.name.lower()} lane"
