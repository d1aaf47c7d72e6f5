"""Sockets and their options, how one stops taking, and what the kernel holds and lost.

Source: socket(7), ip(7), ipv6(7), tcp(7), unix(7); SO_MEMINFO: linux/sock_diag.h; the filter: linux/filter.h.
"""

import array
import contextlib
import ctypes
import fcntl
import socket
import struct
import termios
from typing import Final

BACKLOG: Final = 512
SO_RCVBUFFORCE: Final = 33  # like SO_RCVBUF, beyond net.core.rmem_max, with CAP_NET_ADMIN
SO_MEMINFO: Final = 55  # nine 32-bit numbers, the last one the datagrams dropped
_MEMINFO: Final = struct.Struct("=9I")
SO_ATTACH_FILTER: Final = 26
_NOTHING: Final = ctypes.create_string_buffer(
    struct.pack("=HBBI", 6, 0, 0, 0)
)  # one instruction, BPF_RET: keep 0 bytes
_TAKE_NOTHING: Final = struct.pack("@HP", 1, ctypes.addressof(_NOTHING))  # struct sock_fprog: its length, where it is
_RESET: Final = struct.pack("@ii", 1, 0)  # struct linger: on, no time
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out within two minutes that the other end is gone."""
    for level, option, value in _KEEPALIVE:
        with contextlib.suppress(OSError):  # the connection may be gone already
            sock.setsockopt(level, option, value)


def freeze(sock: socket.socket) -> None:
    """Let the kernel take nothing more for this socket: what comes from now on is as if it had not arrived.

    What it holds can be read to its end then, which a sender could put off for ever. A TCP sender has no
    acknowledgement of the rest and keeps it; a connection that is not yet complete never will be. On a Unix socket a
    filter would throw away what its sender believes sent, but after a shutdown the sender is told.
    """
    if sock.family == socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RD)
        return
    with contextlib.suppress(OSError):  # without the filter a stop is as good, but for some microseconds
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _TAKE_NOTHING)


def reset(sock: socket.socket) -> None:
    """Close a TCP connection so that its sender's next write fails.

    After an orderly close that write would seem to succeed, and its line be lost without a word.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def unread_bytes(sock: socket.socket) -> int:
    """How many bytes of a TCP stream the kernel has acknowledged and nobody has read."""
    found = array.array("i", [0])
    try:
        fcntl.ioctl(sock, termios.FIONREAD, found)
    except OSError:
        return 0
    return found[0]


def granted_bytes(sock: socket.socket) -> int:
    """The receive buffer that was granted, in the measure in which it is asked for: the kernel doubles it."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def kernel_drops(sock: socket.socket) -> int:
    """Datagrams that the kernel dropped on this socket since it was opened, modulo 2**32."""
    return int(_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))[8])


def ask_buffer(sock: socket.socket, size: int) -> None:
    """Ask for a receive buffer, beyond net.core.rmem_max where we have the right to."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
