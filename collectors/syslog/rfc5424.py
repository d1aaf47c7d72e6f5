"""RFC 5424, one line at a time: the right answer, whatever the line is.

    1 2003-10-11T22:14:15.003Z host app proc msgid [id name="value"] MSG
    └ VERSION ┘ └─ TIMESTAMP ┘ └──── four names, or "-" ────┘ └─ SD ─┘

Source: RFC 5424 section 6. A line that breaks the grammar keeps the fields before the break; from there on everything
is message, flagged with the field's name (`bad-host`, `bad-sd`, ...). Nothing is thrown away.
"""

import re
from typing import Any, Final

from collectors.syslog.header import Header
from collectors.syslog.structured_data import read_elements
from collectors.syslog.times import read_iso

VERSION: Final = re.compile(r"[1-9][0-9]{0,2} ", re.ASCII)
"""What must follow PRI for a line to be taken as RFC 5424."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_BENT_TIME: Final = re.compile(  # no zone, more than six digits, a zone twice: seen in the field
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d{0,9})?([Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?[Zz]?",
    re.ASCII,
)
_NAMES: Final = (  # column, flag when broken, grammar (section 6)
    ("hostname", "bad-host", re.compile(r"[!-~]{1,255}")),
    ("app_name", "bad-app", re.compile(r"[!-~]{1,48}")),
    ("proc_id", "bad-procid", re.compile(r"[!-~]{1,128}")),
    ("msg_id", "bad-msgid", re.compile(r"[!-~]{1,32}")),
)
_BOM: Final = "\ufeff"


def read_rfc5424(text: str, start: int) -> Header:
    """Read what follows `<PRI>VERSION SP`."""
    fields: dict[str, Any] = {"format": "rfc5424"}
    flags: list[str] = []
    field, rest = _cut(text, start)
    if field != "-":
        fields["time"] = _strict_time(field)
        if fields["time"] is None:
            flags.append("bad-time")
            fields["time"] = _bent_time(field)
            if not field[:1].isdigit():
                return Header(**fields, message=text[start:], flags=tuple(flags))
    for column, flag, grammar in _NAMES:
        at = rest
        field, rest = _cut(text, at)
        if not grammar.fullmatch(field):
            return Header(**fields, message=text[at:], flags=(*flags, flag))
        fields[column] = None if field == "-" else field
    return _read_tail(text, rest, fields=fields, flags=flags)


def read_bare_rfc5424(text: str) -> Header | None:
    """Read a line from a file, without `<PRI>VERSION SP`; None unless all of it keeps the grammar."""
    if not _TIME.match(text):
        return None
    header = read_rfc5424(text, 0)
    return None if header.flags or header.app_name is None or header.app_name.endswith(":") else header


def _read_tail(text: str, at: int, *, fields: dict[str, Any], flags: list[str]) -> Header:
    """Read STRUCTURED-DATA and MSG."""
    end = at + 1
    if text[at : at + 1] != "-":
        elements = read_elements(text, at)
        if elements is None or text[elements.end : elements.end + 1] not in {"", " "}:
            return Header(**fields, message=text[at:], flags=(*flags, "bad-sd"))
        fields["structured_data"] = elements.data
        end = elements.end
        if elements.is_repeated:
            flags.append("repeated-sd")
        if elements.is_cut:
            flags.append("cut-sd")
    elif text[end : end + 1] not in {"", " "}:
        return Header(**fields, message=text[at:], flags=(*flags, "bad-sd"))
    message = text[end + 1 :].removeprefix(_BOM)
    return Header(**fields, message=message, flags=tuple(flags))


def _cut(text: str, start: int) -> tuple[str, int]:
    """Give the field at `start` and where the next one begins."""
    end = text.find(" ", start)
    return (text[start:], len(text)) if end < 0 else (text[start:end], end + 1)


def _strict_time(field: str) -> int | None:
    return read_iso(field) if _TIME.fullmatch(field) else None


def _bent_time(field: str) -> int | None:
    """Read what is still unambiguous of a time that breaks the grammar."""
    match = _BENT_TIME.fullmatch(field)
    if match is None or match[4] is None:
        return None
    zone = match[4].upper() if len(match[4]) != 5 else f"{match[4][:3]}:{match[4][3:]}"
    seconds = read_iso(f"{match[1]}T{match[2]}{zone}")
    return None if seconds is None else seconds + int((match[3] or "").ljust(9, "0"))
