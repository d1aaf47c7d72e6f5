"""Listening sockets and their options, and what the kernel lost.

Source: socket(7), ip(7), ipv6(7), tcp(7); SO_MEMINFO: linux/sock_diag.h.
"""

import contextlib
import socket
import struct
from typing import Final

from collectors.syslog.config import Listener, read_bind

BACKLOG: Final = 512
SO_RCVBUFFORCE: Final = 33  # like SO_RCVBUF, beyond net.core.rmem_max, with CAP_NET_ADMIN
SO_MEMINFO: Final = 55  # nine 32-bit numbers, the last one the datagrams dropped
_MEMINFO: Final = struct.Struct("=9I")
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)


def open_socket(listener: Listener) -> socket.socket:
    """Open, set and bind a listener's socket; `[::]` takes IPv4 too.

    Raises:
        OSError: the port is taken or forbidden, the address is not this machine's.
    """
    address = read_bind(listener.bind)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if address.transport == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_DGRAM:
            _ask_buffer(sock, listener.receive_buffer_bytes)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out within two minutes that the other end is gone."""
    for level, option, value in _KEEPALIVE:
        with contextlib.suppress(OSError):  # the connection may be gone already
            sock.setsockopt(level, option, value)


def granted_bytes(sock: socket.socket) -> int:
    """The receive buffer that was granted, in the measure in which it is asked for: the kernel doubles it."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(sock: socket.socket) -> int:
    """Datagrams that the kernel dropped on this socket since it was opened, modulo 2**32."""
    return int(_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))[8])


def _ask_buffer(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
