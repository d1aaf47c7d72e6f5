"""What status shows of a listener: its state and facts, and what is wrong with it, each with a remedy.

A listener's first problem stands with it (`problem`, `remedy`); what else is wrong, with any of them, is a warning of
the collector.
"""

import errno
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from collectors.syslog.listener import Listener
from collectors.syslog.opening import OpenSocket
from collectors.syslog.sockets import granted_bytes

Facts = dict[str, Any]
_REMEDIES: Final = {
    errno.EADDRINUSE: "see who holds it: ss -lnptux",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE; a socket file, a folder that we may write",
    errno.EADDRNOTAVAIL: "the address is not this machine's: ip address",
    errno.EAFNOSUPPORT: "this machine has no IPv6: bind 0.0.0.0",
    errno.ENOENT: "make the folder (RuntimeDirectory= of the unit), or the socket unit: systemctl list-sockets",
    errno.EEXIST: "move it away, or choose another path",
    errno.EPERM: "only root, or a member of that group, may give the socket file away",
    errno.EPROTOTYPE: "take cert_file out, or hand over a socket with ListenStream=",
}


class Problem(NamedTuple):
    """What is wrong, in words, and what to do."""

    what: str
    remedy: str


def opening(listener: Listener) -> Facts:
    """Facts of a listener that is not open yet."""
    return {"bind": listener.bind, "state": "opening"}


def opened_facts(listener: Listener, opened: OpenSocket) -> Facts:
    """Facts of a listener that is open."""
    facts: Facts = {"bind": listener.bind, "state": "listening", "transport": opened.transport}
    name = opened.sock.getsockname()
    facts |= {"path": name} if opened.is_unix else {"address": name[0], "port": name[1]}
    if opened.is_handed:
        facts["handed_over"] = True
    if opened.transport == "udp":
        asked, granted = listener.receive_buffer_bytes, granted_bytes(opened.sock)
        facts |= {"asked_bytes": asked, "receive_buffer_bytes": granted}
    return facts


def opened_problems(listener: Listener, facts: Facts) -> list[Problem]:
    """What is wrong with a socket that is open: a buffer smaller than asked."""
    granted = facts.get("receive_buffer_bytes")
    if granted is None or granted >= listener.receive_buffer_bytes:
        return []
    asked = listener.receive_buffer_bytes
    remedy = f"sysctl -w net.core.rmem_max={asked}, then restart"
    if facts.get("handed_over"):
        remedy = f"set ReceiveBuffer={asked} in the socket unit, then restart it"
    return [Problem(f"the kernel grants a receive buffer of {granted} bytes of {asked}", remedy)]


def failed_facts(listener: Listener, error: OSError) -> Facts:
    """Facts of a listener that cannot be opened, or has failed."""
    remedy = getattr(error, "remedy", None) or _REMEDIES.get(error.errno or 0)
    return {
        "bind": listener.bind,
        "state": "failed",
        "problem": f"{listener.bind}: {error.strerror or error}",
        "remedy": remedy or "check the address and the port of this listener",
    }


def with_problems(facts: Facts, problems: Sequence[Problem]) -> Facts:
    """Put the first problem where a listener has its own."""
    if not problems:
        return facts
    return {**facts, "problem": f"{facts['bind']}: {problems[0].what}", "remedy": problems[0].remedy}


def warnings(bind: str, problems: Iterable[Problem]) -> list[dict[str, str]]:
    """What else is wrong with a listener, as warnings of its collector."""
    return [{"what": f"{bind}: {problem.what}", "remedy": problem.remedy} for problem in problems]
