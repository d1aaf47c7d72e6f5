"""From a listener's settings to its socket: handed over by systemd, else a socket file, else an address and a port."""

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from collectors.handed_over import HANDED_OVER, Handed
from collectors.syslog.bind import HANDED, Address
from collectors.syslog.listener import Listener
from collectors.syslog.sockets import BACKLOG, ask_buffer, freeze, granted_bytes
from collectors.syslog.unix import ask_credentials, open_unix, remove_file

_TYPES: Final = {
    "udp": socket.SOCK_DGRAM,
    "tcp": socket.SOCK_STREAM,
    "tls": socket.SOCK_STREAM,
    "unix": socket.SOCK_DGRAM,
    "unix-stream": socket.SOCK_STREAM,
}


class OpenSocket:
    """Owns a listener's socket. One that was handed over outlasts us: it is never frozen, emptied or taken away.

    Attributes:
        sock: non-blocking; a stream listens already.
        transport: as rows name it.
        is_handed: whether systemd keeps it, so that what comes while nobody reads waits for the next start.
    """

    def __init__(self, listener: Listener, sock: socket.socket, *, is_handed: bool) -> None:
        self.sock = sock
        self.is_handed = is_handed
        self.is_datagram = sock.type == socket.SOCK_DGRAM
        self.is_unix = sock.family == socket.AF_UNIX
        self.transport = self._transport(listener)
        self._has_file = self.is_unix and not is_handed

    def _transport(self, listener: Listener) -> str:
        if self.is_unix:
            return "unix"
        return "udp" if self.is_datagram else "tls" if listener.is_tls else "tcp"

    def freeze(self) -> None:
        """Let the kernel take nothing more for it."""
        if not self.is_handed:
            freeze(self.sock)

    def withdraw(self) -> None:
        """Let nobody new find it, where it has a file."""
        if self._has_file:
            self._has_file = False
            remove_file(self.sock)


def open_socket(listener: Listener) -> OpenSocket:
    """Take or open, set and bind a listener's socket; `[::]` takes IPv4 too.

    Raises:
        OSError: the port is taken or forbidden, the address is not this machine's, nothing of that name was handed over.
    """
    address = listener.address
    handed = HANDED_OVER.take(_is_meant(address))
    if handed is None and address.scheme == HANDED:
        raise OSError(errno.ENOENT, "systemd has handed over no socket of this name that is free")
    sock = handed or (open_unix(listener) if address.is_unix else _open_network(address))
    opened = OpenSocket(listener, sock, is_handed=handed is not None)
    try:
        _set_up(opened, listener)
    except OSError:
        opened.withdraw()
        sock.close()
        raise
    return opened


def _set_up(opened: OpenSocket, listener: Listener) -> None:
    sock = opened.sock
    if listener.is_tls and opened.transport != "tls":
        raise OSError(errno.EPROTOTYPE, "TLS needs a TCP socket, and this is none")
    if opened.is_unix and opened.is_datagram:
        ask_credentials(sock)
    elif opened.is_datagram and not (opened.is_handed and granted_bytes(sock) >= listener.receive_buffer_bytes):
        ask_buffer(sock, listener.receive_buffer_bytes)
    if not opened.is_datagram and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.listen(BACKLOG)


def _is_meant(address: Address) -> Callable[[Handed], bool]:
    def is_meant(handed: Handed) -> bool:
        if address.scheme == HANDED:
            return handed.name == address.host
        if handed.type != _TYPES[address.scheme]:
            return False
        if address.is_unix:
            return handed.family == socket.AF_UNIX and handed.address == address.host
        return handed.family != socket.AF_UNIX and _is_same(handed.address, address)

    return is_meant


def _is_same(found: tuple[str, int], wanted: Address) -> bool:
    host = ipaddress.ip_address(found[0].partition("%")[0])
    return (host, found[1]) == (ipaddress.ip_address(wanted.host), wanted.port)


def _open_network(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = _TYPES[address.scheme]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock
