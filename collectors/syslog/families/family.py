"""What a family is: a kind of device that is recognised by how it writes.

Signs are tried in this order, and the first that fits decides (`recognise.py`):

    message    CEF: or LEEF: come first, whoever wrote them
    apps, app  the app name alone, or with `tagged`: how the message behind it begins
    numbers    the enterprise number of the first SD-ID (RFC 5424 section 7.2.2)
    message    how a message without an app name begins

All are anchored at the beginning and linear, for a family is looked for in every line.
"""

from collections.abc import Callable
from typing import NamedTuple

from collectors.syslog.header import Header
from collectors.syslog.times import Times

OWN_DATA = "header@edgepost"
"""SD-ID of what a header says and no column takes. The enterprise number is none, so no device can write it."""


class Family(NamedTuple):
    """One kind of device.

    Attributes:
        name: value of the column `family`.
        devices: who writes so, for the documentation.
        sign: in words, how it is recognised.
        gives: in words, what is read beyond what the RFC's header would give.
        apps: app names of it alone.
        app: pattern that a whole app name of it matches.
        tagged: pattern of the message behind `apps` or `app`, where the name alone proves nothing.
        is_slow: whether no fast pattern takes a message that `tagged` fits (`patterns.py`), so fast lines need not ask.
        is_no_tag: whether what looks like an app name is the beginning of the message; it is put back there.
        numbers: enterprise numbers.
        message: pattern of the beginning of a message without app name; its groups are not capturing.
        read: gives what else a message without app name says; gives the header as it is where that is nothing.
    """

    name: str
    devices: str
    sign: str
    gives: str = ""
    apps: tuple[str, ...] = ()
    app: str | None = None
    tagged: str | None = None
    is_slow: bool = False
    is_no_tag: bool = False
    numbers: tuple[int, ...] = ()
    message: str | None = None
    read: Callable[[Header, Times], Header] | None = None
