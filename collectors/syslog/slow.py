"""One line to one row, slowly and always: the oracle that the fast path must agree with.

    bytes ──UTF-8, else surrogates──► PRI ──► a family's own header ─────────────────────────────────► row
                                       └────► RFC 5424 if a version follows, else RFC 3164 ──► family ──► row

Total: any bytes give a row. Text that is not UTF-8 is carried as lone surrogates while the header is read, and turned
into text at the end: the header with backslashes, the message by the listener's encoding. So a stray byte can never
change how a line is cut into fields.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from collectors.syslog.families.recognise import read_own, recognise
from collectors.syslog.header import Header
from collectors.syslog.rfc3164 import read_rfc3164
from collectors.syslog.rfc5424 import VERSION, read_bare_rfc5424, read_rfc5424
from collectors.syslog.times import Times

Row = tuple[Any, ...]
"""A row of the stream `syslog`: a plain tuple in the order of `collectors.syslog.rows.SyslogRow`."""

DEFAULT_PRI: Final = 13  # user.notice: RFC 3164 section 4.3.3
_PRI: Final = re.compile(r"<(0|[1-9]\d{0,2})>", re.ASCII)
_BENT_PRI: Final = re.compile(r"<[^<> \n]{0,8}>")
_ESCAPED: Final = re.compile(r"[\udc80-\udcff]")


ReadHeader = Callable[[str, int, Times], Header | None]
"""A grammar of a listener's own: the header of a line after PRI, which ends at the index; None where it is another."""


class Reading(NamedTuple):
    """How a listener reads lines: the encoding of what is not UTF-8, its times, and a grammar that is tried first."""

    encoding: str
    times: Times
    first: ReadHeader | None = None


class Origin(NamedTuple):
    """Where a line came from."""

    received: int
    peer: str | None
    port: int | None
    transport: str | None
    identity: str | None = None


def parse_line(line: bytes, *, origin: Origin, reading: Reading, is_cut: bool = False) -> Row:
    """Turn one message, without its line end, into one row.

    Args:
        line: any bytes, newlines included (octet counting and UDP carry them).
        origin: the receipt's columns.
        reading: whose clock was set to the receipt (`Times.at`).
        is_cut: whether the message was longer than the limit.
    """
    text = line.decode("utf-8", "surrogateescape")
    pri, start, flags = _read_pri(text)
    own = reading.first(text, start, reading.times) if reading.first else None
    header = recognise(own, reading.times) if own else _read_header(text, start, times=reading.times)
    flags += header.flags
    if not _is_text(text):
        header = _mend(header, reading.encoding)
        flags += ("encoding",)
    if is_cut:
        flags += ("cut",)
    return _row(header, pri=pri, origin=origin, flags=flags, line=line)


def _row(header: Header, *, pri: int, origin: Origin, flags: tuple[str, ...], line: bytes) -> Row:
    return (
        header.time,
        origin.received,
        origin.peer,
        origin.port,
        origin.transport,
        origin.identity,
        pri >> 3,
        pri & 7,
        header.hostname,
        header.app_name,
        header.proc_id,
        header.msg_id,
        header.structured_data,
        header.message or None,
        header.format,
        header.family,
        " ".join(flags) if flags else None,
        line if flags else None,
    )


def _read_pri(text: str) -> tuple[int, int, tuple[str, ...]]:
    """Give PRI, where it ends, and what is wrong with it."""
    match = _PRI.match(text)
    if match and int(match[1]) <= 191:
        return int(match[1]), match.end(), ()
    bent = _BENT_PRI.match(text)
    return (DEFAULT_PRI, bent.end(), ("bad-pri",)) if bent else (DEFAULT_PRI, 0, ("no-pri",))


def _read_header(text: str, start: int, *, times: Times) -> Header:
    own = read_own(text, start, times)
    if own is not None:
        return recognise(own, times)
    version = VERSION.match(text, start) if start else None
    if version:
        return recognise(read_rfc5424(text, version.end()), times)
    bare = None if start else read_bare_rfc5424(text)
    return recognise(bare or read_rfc3164(text, start, times, has_pri=start > 0), times)


def _is_text(text: str) -> bool:
    return text.isascii() or not _ESCAPED.search(text)


def _mend(header: Header, encoding: str) -> Header:
    """Turn the lone surrogates of a line that is not UTF-8 into text."""
    raw = header.message.encode("utf-8", "surrogateescape")
    try:
        message = raw.decode()
    except UnicodeDecodeError:
        message = raw.decode(encoding, "replace")
    return Header(*map(_escape, header))._replace(message=message)


def _escape(value: Any) -> Any:
    r"""Write bytes that are not text as \xNN, inside maps and lists too."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_escape(key): _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value
