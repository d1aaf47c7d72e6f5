"""One line, slowly: a header of a family's own, a header behind a relay's, and the family.

    text ──own header?──► Header            `*Mar  1 00:01:12: %SYS-5-CONFIG_I: ...`
      └─ RFC 5424, RFC 3164 ──► Header ──a header inside?──► CEF? app? SD-ID? message? ──► Header with its family

A line of a known family is whole without what its format does not have: `no-time` is no flag of it.
"""

import re
from typing import Final

from collectors.syslog.families.cameras import DAHUA_HOST, HIKVISION_HOST
from collectors.syslog.families.cisco import read_cisco, read_meraki
from collectors.syslog.families.events import find_event, read_event, search_event
from collectors.syslog.families.family import OWN_DATA, Family
from collectors.syslog.families.networks import read_opengear
from collectors.syslog.families.servers import EXIM_ID
from collectors.syslog.families.table import NotAsItSeems, find_by_app, find_by_id, find_by_message
from collectors.syslog.header import Header, add_data
from collectors.syslog.rfc3164 import read_rfc3164
from collectors.syslog.rfc5424 import VERSION, read_rfc5424
from collectors.syslog.times import Times

_BLANKS: Final = re.compile(r"[ \t]{0,8}")
_UTM: Final = re.compile(r"\d{4}:\d\d:\d\d-\d\d:\d\d:\d\d ", re.ASCII)
_PARTS: Final = {
    "junos": re.compile(r"(?P<part>re\d)[-.](?P<host>.{1,255})"),
    "f5": re.compile(r"(?P<part>slot\d{1,2})/(?P<host>.{1,255})"),
}
_INNER_PRI: Final = re.compile(r"<(?P<pri>\d{1,3})>", re.ASCII)
_CLOCK_MARK: Final = re.compile(r"\*\w", re.ASCII)
_MONTH: Final = re.compile(r"(?:\d{4} )?[A-Z][a-z]{2} ")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:", re.ASCII)
_LEVEL: Final = re.compile(
    r"TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|ALERT|EMERG|FATAL", re.IGNORECASE
)
_ANY_TIMES: Final = Times("UTC")
_CAMERA: Final = re.compile(f"(?P<hikvision>{HIKVISION_HOST})|(?P<dahua>{DAHUA_HOST})", re.ASCII)


def read_own(text: str, start: int, times: Times) -> Header | None:
    """Read a header that neither RFC knows; None where it is no family's own."""
    if VERSION.match(text, start):
        return read_meraki(text, start + 2, times) if text.startswith("1 ", start) else None
    blanks = _BLANKS.match(text, start)
    at = blanks.end() if blanks else start
    if _UTM.match(text, at):
        return read_rfc3164(text, at, times, has_pri=True)._replace(family="sophos")
    return read_cisco(text, at, times) or read_opengear(text, at, times)


def recognise(header: Header, times: Times) -> Header:
    """Give the header with its family, and with what that family's own grammar says."""
    if header.family is None:
        header = _recognise(_read_inner(header, times), times)
    part = _PARTS.get(header.family or "")
    return _strip(header, part) if part else header


def _strip(header: Header, part: re.Pattern[str]) -> Header:
    """Take the part of a device off its host, for all its parts are one device: `re0-`, `slot1/`."""
    match = part.fullmatch(header.hostname or "")
    if match is None:
        return header
    return add_data(header._replace(hostname=match["host"]), OWN_DATA, part=match["part"])


def _recognise(header: Header, times: Times) -> Header:
    if header.family is not None:
        return header
    if header.app_name is None:
        header = read_untagged(header, times)
        return header._replace(family=header.family or _by_data(header) or _by_host(header))
    event = find_event(header.message)
    if event:
        return read_event(_without_no_time(header), event)
    family = find_by_app(header.app_name, header.message)
    if family is not None and family.is_no_tag:
        return _recognise(_put_back(header), times)
    return header._replace(family=family.name if family else _by_data(header) or _by_host(header))


def read_untagged(header: Header, times: Times) -> Header:
    """Give the header with the family of a message without app name, and what that says; as it is if none is known."""
    event = find_event(header.message)
    if event:
        return read_event(_without_no_time(header), event)
    header = _put_back_exim(header)
    message = header.message.lstrip(" \t")
    family = find_by_message(message)
    if family is not None:
        return _read(family, _without_no_time(header)._replace(message=message, family=family.name), times)
    event = search_event(header.message)
    return read_event(_without_no_time(header), event) if event else header


def _put_back_exim(header: Header) -> Header:
    """Take exim's message number for what it is; in lines of exim's own file it stands where a host would."""
    if header.format != "rfc3164" or not header.hostname or not EXIM_ID.fullmatch(header.hostname):
        return header
    message = f"{header.hostname} {header.message}"
    return header._replace(hostname=None, message=message) if find_by_message(message) else header


def _read(family: Family, header: Header, times: Times) -> Header:
    return header if family.read is None else family.read(header, times)


def _by_data(header: Header) -> str | None:
    """Ask the first SD-ID only: one look-up is what a fast line can afford."""
    return find_by_id(next(iter(header.structured_data))) if header.structured_data else None


def _by_host(header: Header) -> str | None:
    match = _CAMERA.match(header.hostname or "")
    return match.lastgroup if match else None


def _put_back(header: Header) -> Header:
    return header._replace(app_name=None, message=f"{header.app_name}: {header.message}")


def _without_no_time(header: Header) -> Header:
    return header._replace(flags=tuple(flag for flag in header.flags if flag != "no-time"))


def _read_inner(header: Header, times: Times) -> Header:
    """Read the header that a relay put its own before; the device's time and host count, the relay's host is kept."""
    app = header.app_name
    if header.format != "rfc3164" or header.hostname is None or header.proc_id:
        return header
    if not (app is None or app.isdecimal() or _CLOCK_MARK.match(header.message)):
        return header
    text = header.message if app is None else f"{app}: {header.message}"
    pri = _INNER_PRI.match(text)
    inner = _find_inner(text, pri.end() if pri else 0, times)
    if inner is None:
        return header
    merged = inner._replace(
        time=header.time if inner.time is None else inner.time,
        hostname=inner.hostname or header.hostname,
        flags=(*header.flags, *inner.flags),
    )
    relay = header.hostname if merged.hostname != header.hostname else None
    return add_data(merged, OWN_DATA, relay=relay, pri=pri["pri"] if pri else None)


def _find_inner(text: str, start: int, times: Times) -> Header | None:
    version = VERSION.match(text, start)
    if version:
        inner = read_rfc5424(text, version.end())
        return None if inner.flags else inner
    cisco = read_cisco(text, start, times)
    if cisco is not None:
        return cisco
    if not (_MONTH.match(text, start) or _ISO.match(text, start)):
        return None
    inner = read_rfc3164(text, start, times, has_pri=False)
    if inner.hostname is None or _LEVEL.fullmatch(inner.hostname):
        return None
    is_header = inner.app_name or find_event(inner.message) or find_by_message(inner.message)
    return inner if is_header else None  # else it is a message that begins with a time and any word


def ask_untagged(message: str) -> str | None:
    """Tell the family of a message without app name; KeyError where more than that has to be read from it."""
    whole = Header(time=0, hostname="-", message=message, format="rfc5424")
    told = read_untagged(whole, _ANY_TIMES)
    if told._replace(family=None) != whole:
        raise NotAsItSeems(message)
    return told.family
