"""Where a listener listens: what may stand in `bind`, taken apart.

udp://ADDRESS:PORT  tcp://ADDRESS:PORT  tls://ADDRESS:PORT     an IP address; [::] takes IPv4 too; port 0 is any
unix:///PATH  unix-stream:///PATH                              a socket file, for datagrams or a stream
fd://NAME                                                      what systemd hands over under that name
"""

import ipaddress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

NETWORK: Final = frozenset({"udp", "tcp", "tls"})
UNIX: Final = frozenset({"unix", "unix-stream"})
HANDED: Final = "fd"
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
    return _read_network(bind, scheme)


def _read_path(bind: str, path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(
            f"bind {bind!r}: this is no absolute path; write three slashes, as in unix:///run/edgepost/log"
        )
    if len(path.encode("utf-8", "surrogateescape")) > _PATH_BYTES:
        raise ValueError(f"bind {bind!r}: the path is longer than {_PATH_BYTES} bytes; choose a shorter one")
    return path


def _read_network(bind: str, scheme: str) -> Address:
    port_of = "6514" if scheme == "tls" else "514"
    try:
        parts = urlsplit(bind)
        host, port = parts.hostname, parts.port
        ipaddress.ip_address(host or "")
    except ValueError as error:
        raise ValueError(
            f"bind {bind!r}: {error}; write an IP address and a port of at most 65535, as in {scheme}://[::]:{port_of}"
        ) from error
    if host is None or port is None or parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(f"bind {bind!r}: write just {scheme}://ADDRESS:PORT, as in {scheme}://[::]:{port_of}")
    return Address(scheme, host, port)
