"""CEF and LEEF: one event as a line with a header of its own between bars, behind any syslog header or none.

    Mar  5 14:03:07 host CEF:0|Imperva Inc.|SecureSphere|14.7|...|src=10.0.0.5 dst=...
    LEEF:2.0|Vendor|Product|1.0|EventID|^|src=10.0.0.5^dst=...

Sources: "ArcSight Common Event Format", "Log Event Extended Format". Both say that RFC 3164's time and host come first;
what leaves them out names its host as dvchost= or devName=.
"""

import re
from typing import Final

from collectors.syslog.families.family import Family
from collectors.syslog.header import Header

REACH: Final = 256  # how far behind the header an event can begin, where there is no tag
_EVENT: Final = re.compile(r"(?:^|(?<=[ \t:]))(?P<kind>CEF|LEEF): ?\d{1,2}(?:\.\d)?\|", re.ASCII)
_PREFIX: Final = re.compile(r"(?P<app>[!-~]{1,128}?):?(?: -)?:? {1,4}", re.ASCII)
_HOST: Final = re.compile(r"[ \t^|](?:dvchost|devName|deviceName)=(?P<host>[\w.:-]{1,255})(?=[ \t^|]|\Z)", re.ASCII)
_HOST_REACH: Final = 8_192


def find_event(message: str) -> re.Match[str] | None:
    """Find an event that a message begins with."""
    return _EVENT.match(message)


def search_event(message: str) -> re.Match[str] | None:
    """Find an event behind something that no grammar knows."""
    return _EVENT.search(message, 0, REACH)


def read_event(header: Header, event: re.Match[str]) -> Header:
    """Let the message begin with the event; a word before it is the app, anything else is left where it is."""
    message = header.message
    prefix = _PREFIX.fullmatch(message, 0, event.start())
    if header.app_name is None and prefix:
        header = header._replace(app_name=prefix["app"])
    if event.start() == 0 or prefix:
        header = header._replace(message=message[event.start() :])
    if header.hostname is None:
        host = _HOST.search(message, event.end(), event.end() + _HOST_REACH)
        header = header._replace(hostname=host["host"] if host else None)
    return header._replace(family=event["kind"].lower())


FAMILIES: Final = (
    Family(
        "cef",
        "whoever writes ArcSight's CEF: Imperva, Trend Micro, Trellix, ...",
        "the message, behind any header or none, begins with CEF:, a version and a bar",
        "host from dvchost= where the header has none",
        apps=("CEF",),
        tagged=r"\d",
        is_no_tag=True,
    ),
    Family(
        "leef",
        "whoever writes QRadar's LEEF",
        "the message, behind any header or none, begins with LEEF:, a version and a bar",
        "host from devName= where the header has none",
        apps=("LEEF",),
        tagged=r"\d",
        is_no_tag=True,
    ),
)
