"""Where a listener listens: what may stand in `bind`, taken apart.

udp://ADDRESS:PORT  tcp://ADDRESS:PORT  tls://ADDRESS:PORT     an IP address; [::] takes IPv4 too; port 0 is any
unix:///PATH  unix-stream:///PATH                              a socket file, for datagrams or a stream
fd://NAME                                                      what systemd hands over under that name
"""

import ipaddress
import re
from typing import Final, NamedTuple

NETWORK: Final = frozenset({"udp", "tcp", "tls"})
UNIX: Final = frozenset({"unix", "unix-stream"})
HANDED: Final = "fd"
_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[^][/?#@]*)\]|(?P<v4>[^][/?#@]*?))(?::(?P<port>[^:/?#@]*))?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_PORT: Final = 65_535
_PATH_BYTES: Final = 107  # unix(7): sun_path holds 108, with its NUL
_FORMS: Final = "write udp://ADDRESS:PORT, tcp://ADDRESS:PORT, tls://ADDRESS:PORT, unix:///PATH or fd://NAME"


class Address(NamedTuple):
    """A `bind`, taken apart: its scheme; an IP address without brackets, a path or a name; and a port."""

    scheme: str
    host: str
    port: int = 0

    @property
    def is_unix(self) -> bool:
        """Whether it is a socket file of this machine."""
        return self.scheme in UNIX


def read_bind(bind: str) -> Address:
    """Take a `bind` apart.

    Raises:
        ValueError: with what is wrong and what would be right.
    """
    scheme, mark, rest = bind.partition("://")
    if not mark or scheme not in {*NETWORK, *UNIX, HANDED}:
        raise ValueError(f"bind {bind!r}: the transport is not known; {_FORMS}")
    if scheme in UNIX:
        return Address(scheme, _read_path(bind, rest))
    if scheme == HANDED:
        if not rest or not rest.isascii() or not rest.isprintable() or set(rest) & {":", "/", " "}:
            raise ValueError(
                f"bind {bind!r}: this is no name; write fd://NAME, as FileDescriptorName= of the unit has it"
            )
        return Address(scheme, rest)
    return _read_network(bind, scheme, rest)


def _read_path(bind: str, path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(
            f"bind {bind!r}: this is no absolute path; write three slashes, as in unix:///run/edgepost/log"
        )
    if len(path.encode("utf-8", "surrogateescape")) > _PATH_BYTES:
        raise ValueError(f"bind {bind!r}: the path is longer than {_PATH_BYTES} bytes; choose a shorter one")
    return path


def _read_network(bind: str, scheme: str, rest: str) -> Address:
    match = _ADDRESS.fullmatch(rest)
    what = "this is not just an address and a port" if match is None else _what_is_wrong(match)
    if match is None or what:
        port_of = "6514" if scheme == "tls" else "514"
        raise ValueError(f"bind {bind!r}: {what}; write {scheme}://ADDRESS:PORT, as in {scheme}://[::]:{port_of}")
    return Address(scheme, match["v6"] or match["v4"], int(match["port"]))


def _what_is_wrong(match: re.Match[str]) -> str | None:
    """Say why an address and a port cannot be listened at."""
    host, port = match["v6"] or match["v4"] or "", match["port"]
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return f"{host!r} is no IP address" if host else "the IP address is missing"
    if port is None:
        return "the port is missing"
    if (version == 6) is not (match["v6"] is not None):
        return "an IPv6 address stands in brackets, an IPv4 address without"
    return None if _PORT.fullmatch(port) and int(port) <= _MAX_PORT else f"there is no port {port!r}"
