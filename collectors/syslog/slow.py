"""The slow path: one message, always right. It is the oracle of the fast path, and total: any bytes give a row.

    bytes ──text──► PRI ──► RFC 5424, else RFC 3164 and its bends, else the message as it is ──► columns, flags
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from collectors.syslog.times import BSD_TIME, read_bsd_match, read_iso

_PRI: Final = re.compile(r"<(0|[1-9]\d{0,2})>", re.ASCII)
_RFC5424: Final = re.compile(
    r"([1-9]\d{0,2}) (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    r"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) (?=-|\[)",
    re.ASCII,
)
_LIKE_5424: Final = re.compile(r"\d{1,3} (?:-|\d{4}-)", re.ASCII)
_SD_ID: Final = re.compile(r'\[([!#-<>-\\^-~]{1,32})', re.ASCII)
_SD_PARAM: Final = re.compile(r' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\.)*)"', re.ASCII | re.DOTALL)
_SD_ESCAPE: Final = re.compile(r'\\(["\\\]])')
_BSD: Final = re.compile(BSD_TIME + r"(?= |: |$)", re.ASCII)
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?(?= |$)", re.ASCII)
_HOST: Final = re.compile(r"([0-9A-Za-z_](?:[0-9A-Za-z_.:%/-]{0,253}[0-9A-Za-z_])?)(?= |$)", re.ASCII)
_TAG: Final = re.compile(r"([^\s:\[\]<>\"=]{1,64})(?:\[([^\]\[\s]{0,128})\])?:(?= |$|\S)")
_TAG_OF_WORDS: Final = re.compile(r"([A-Za-z][\w.-]*(?: [\w.-]+){0,2})\[(\d{1,10})\]: ?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose messages these are and how to read them: one listener's settings, one connection's peer."""

    transport: str
    zone: ZoneInfo
    encoding: str
    peer: str | None = None
    port: int | None = None
    identity: str | None = None


@dataclass(slots=True)
class Parsed:
    """The columns of one message while they are found."""

    time: int | None = None
    facility: int = 1
    severity: int = 5
    hostname: str | None = None
    app_name: str | None = None
    proc_id: str | None = None
    msg_id: str | None = None
    structured_data: dict[str, Any] | None = None
    message: str | None = None
    format: str = "none"
    flags: list[str] = field(default_factory=list)


def parse_message(raw: bytes, origin: Origin, *, received_ns: int, flags: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """Parse one message to a row of the stream `syslog`.

    Args:
        raw: the bytes of one frame or datagram, without their framing.
        origin: peer, zone and encoding.
        received_ns: when it was read, ns UTC.
        flags: reasons known before parsing, such as `cut`.
    """
    parsed = Parsed(flags=list(flags))
    text, rest_of = _decode(raw, origin.encoding, parsed)
    _parse(text, parsed, origin, received_ns=received_ns)
    if rest_of is not None and parsed.message:
        parsed.message = rest_of(parsed.message)
    flag = " ".join(dict.fromkeys(parsed.flags)) or None
    return (
        parsed.time,
        received_ns,
        origin.peer,
        origin.port,
        origin.transport,
        origin.identity,
        parsed.facility,
        parsed.severity,
        parsed.hostname,
        parsed.app_name,
        parsed.proc_id,
        parsed.msg_id,
        parsed.structured_data,
        parsed.message,
        parsed.format,
        None,
        flag,
        raw if flag is not None else None,
    )


def _decode(raw: bytes, encoding: str, parsed: Parsed) -> tuple[str, Any]:
    """Decode as UTF-8; else so that no byte is lost, with a function that reads the message in its own encoding."""
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        parsed.flags.append("encoding")
    # Surrogates stand for the bytes while the header is parsed, then the message's bytes are decoded.

    def read(message: str) -> str:
        return message.encode("utf-8", "surrogateescape").decode(encoding, "replace")

    return raw.decode("utf-8", "surrogateescape"), read


def _parse(text: str, parsed: Parsed, origin: Origin, *, received_ns: int) -> None:
    match = _PRI.match(text)
    if match is None or int(match[1]) > 191:
        parsed.flags.append("bad-pri" if text[:1] == "<" else "no-pri")
        if text[:1] == "<":
            parsed.message = text
            return
        rest = text
    else:
        parsed.facility, parsed.severity = divmod(int(match[1]), 8)
        rest = text[match.end() :]
    if match is not None and _parse_5424(rest, parsed, origin):
        return
    _parse_3164(rest, parsed, origin, received_ns=received_ns)
    _escape_header(parsed)


def _escape_header(parsed: Parsed) -> None:
    """Header bytes that are no UTF-8 are written as \\xNN."""
    for name in ("hostname", "app_name", "proc_id"):
        value = getattr(parsed, name)
        if value is not None and not value.isascii():
            data = value.encode("utf-8", "surrogateescape")
            setattr(parsed, name, data.decode("utf-8", "backslashreplace"))


# --- RFC 5424 ------------------------------------------------------------------------------------------------------


def _parse_5424(rest: str, parsed: Parsed, origin: Origin) -> bool:
    """Parse the whole grammar of RFC 5424 section 6; a line that only looks like it is flagged and left alone."""
    match = _RFC5424.match(rest)
    time = None
    if match is not None and match[2] != "-":
        time = read_iso(match[2], origin.zone)
        if time is None:
            match = None
    if match is None:
        if _LIKE_5424.match(rest):
            parsed.flags.append("bad-header")
            parsed.message = rest
            return True
        return False
    end, data, flag = read_structured_data(rest, match.end())
    if end < 0 or (end < len(rest) and rest[end] != " "):
        parsed.flags.append("bad-sd")
        parsed.message = rest
        return True
    if flag:
        parsed.flags.append(flag)
    parsed.time = time
    parsed.hostname, parsed.app_name, parsed.proc_id, parsed.msg_id = (
        None if value == "-" else value for value in match.group(3, 4, 5, 6)
    )
    parsed.structured_data = data
    message = rest[end + 1 :].removeprefix("\ufeff")
    parsed.message = message or None
    parsed.format = "rfc5424"
    return True


def read_structured_data(text: str, at: int) -> tuple[int, dict[str, Any] | None, str | None]:
    """Read STRUCTURED-DATA (RFC 5424 section 6.3) that begins at an index.

    Returns:
        The index behind it (-1 if it is none), {id: {param: value or list}}, and a flag (a repeated id is merged).
    """
    if text.startswith("-", at):
        return at + 1, None, None
    data: dict[str, Any] = {}
    flag = None
    while text.startswith("[", at):
        match = _SD_ID.match(text, at)
        if match is None:
            return -1, None, None
        if match[1] in data:
            flag = "repeated-sd"
        params = data.setdefault(match[1], {})
        at = match.end()
        while (param := _SD_PARAM.match(text, at)) is not None:
            _add_param(params, param[1], _SD_ESCAPE.sub(r"\1", param[2]) if "\\" in param[2] else param[2])
            at = param.end()
        if not text.startswith("]", at):
            return -1, None, None
        at += 1
    return (at, data, flag) if data else (-1, None, None)


def _add_param(params: dict[str, Any], name: str, value: str) -> None:
    known = params.get(name)
    if known is None:
        params[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        params[name] = [known, value]


# --- RFC 3164 ------------------------------------------------------------------------------------------------------


def _parse_3164(rest: str, parsed: Parsed, origin: Origin, *, received_ns: int) -> None:
    """Parse what real senders make of RFC 3164 section 4.1: time, host and tag may each be missing."""
    bsd = _BSD.match(rest)
    iso = None if bsd else _ISO.match(rest)
    if bsd is not None:
        parsed.time = read_bsd_match(bsd, origin.zone, received_ns=received_ns)
        end = bsd.end()
    elif iso is not None:
        parsed.time = read_iso(iso[0], origin.zone)
        end = iso.end()
    else:
        parsed.flags.append("no-time")
        _parse_tag(rest, parsed)
        return
    if parsed.time is None:
        parsed.flags.append("bad-time")
    parsed.format = "rfc3164"
    rest = rest[end:].removeprefix(":").removeprefix(" ")
    host = _HOST.match(rest)
    if host is not None and not _TAG.fullmatch(host[0]):
        parsed.hostname = host[1]
        rest = rest[host.end() :].removeprefix(" ")
    _parse_tag(rest, parsed)


def _parse_tag(rest: str, parsed: Parsed) -> None:
    match = _TAG.match(rest) or _TAG_OF_WORDS.match(rest)
    if match is not None and not match[1].startswith("%") and "//" not in rest[match.end() : match.end() + 2]:
        parsed.app_name = match[1]
        parsed.proc_id = match[2] or None
        rest = rest[match.end() :].removeprefix(" ")
    parsed.message = rest or None
