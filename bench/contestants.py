"""Who is compared: how each is started, what `delivered` promises of each, and who could not be had."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import rsyslog
import syslog_ng
from contest import Contestant, Setup
from processes import program
from rig import PROMISE, Edgepost
from table import OURS

# Packages that were looked for in Debian 12, PyPI, npm and Rust's registry; a source build is none of these.
_ABSENT = {
    "Fluent Bit": "no binary of it in Debian 12, PyPI, npm or among Rust's crates",
    "Vector": "no binary of it in Debian 12, PyPI or npm; the Rust crate of that name is something else",
}


@dataclass(frozen=True)
class Entry:
    """One of those that are compared.

    Attributes:
        name: as it stands in the tables.
        promise: where a line is before it is delivered, and when it is let go.
        start: starts it.
    """

    name: str
    promise: str
    start: Callable[[Setup], Contestant]


def entries() -> tuple[list[Entry], dict[str, str]]:
    """Give those that can be had, and of the others the reason why not."""
    found, absent = [Entry(OURS, PROMISE, Edgepost)], dict(_ABSENT)
    try:
        program("rsyslogd")
        found += [
            Entry(f"rsyslog {queue}", promise, partial(rsyslog.Rsyslog, queue=queue))
            for queue, promise in rsyslog.PROMISES.items()
        ]
    except FileNotFoundError as error:
        absent["rsyslog"] = f"{error}: apt install rsyslog"
    try:
        root = syslog_ng.fetch()
    except FileNotFoundError as error:
        return found, absent | {"syslog-ng": str(error)}
    if not syslog_ng.has_mqtt(root):
        absent["syslog-ng mqtt()"] = "Debian's build lacks the module; measured through program() and mosquitto_pub"
    found += [
        Entry(f"syslog-ng {to}", promise, partial(syslog_ng.SyslogNg, to=to))
        for to, promise in syslog_ng.PROMISES.items()
    ]
    return found, absent
