"""Who is compared: how each is started, what `delivered` promises of each, and who could not be had."""

import contextlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import rsyslog
import syslog_ng
from contest import Contestant, Setup
from processes import program
from rig import PROMISE, Edgepost
from table import OURS

from agent import VERSION

# Looked for as a binary in Debian 12, in the package lists of PyPI and npm, and (Vector) as a Rust crate.
_ABSENT = {
    "Fluent Bit": "no package of it in Debian 12, PyPI or npm",
    "Vector": "no package of it in Debian 12, PyPI or npm; the Rust crate of that name is something else",
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


def versions() -> str:
    """Say which programs are measured, and which stand beside."""
    said = []
    for command in (["rsyslogd", "-v"], ["mosquitto", "-h"]):
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run([program(command[0]), command[1]], capture_output=True, text=True, check=False)
            said.append((done.stdout or done.stderr).partition("\n")[0].partition(" (")[0].strip())
    with contextlib.suppress(FileNotFoundError):
        said.append(syslog_ng.version(syslog_ng.fetch()))
    return f"edgepost {VERSION}, " + ", ".join(said)


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
