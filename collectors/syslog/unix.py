"""Unix sockets, so that programs of this machine can log: as /dev/log, or wherever `bind` says.

    syslog(3) ──► /dev/log ──symbolic link──► /run/edgepost/log ──recvmmsg──► datagrams, uid and pid of each
    unix-stream: connections, as over TCP, with the uid and pid of who connected

A sender waits while the queue is full (net.unix.max_dgram_qlen datagrams), so nothing is lost there; naps are short for
that. A socket file that a killed agent left behind is replaced; one that somebody listens on never is.

Source: unix(7), recvmmsg(2), SCM_CREDENTIALS.
"""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collectors.syslog.identity import CREDENTIALS, read_credentials
from collectors.syslog.listener import Listener

QUEUE: Final = Path("/proc/sys/net/unix/max_dgram_qlen")
_QUEUE_USUAL: Final = 10
_SO_PASSCRED: Final = 16
_TYPES: Final = {"unix": socket.SOCK_DGRAM, "unix-stream": socket.SOCK_STREAM}


def open_unix(listener: Listener) -> socket.socket:
    """Open, bind and dress a socket file.

    Raises:
        OSError: somebody listens there, the place cannot be written, the owner cannot be set.
    """
    address = listener.address
    _make_room(address.host, _TYPES[address.scheme])
    sock = socket.socket(socket.AF_UNIX, _TYPES[address.scheme] | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(sock.fileno(), 0o600)  # what the file begins with: nobody gets in before its owner is right
        sock.bind(address.host)
        try:
            _dress(listener, address.host)
        except OSError:
            remove_file(sock)
            raise
    except OSError:
        sock.close()
        raise
    return sock


def remove_file(sock: socket.socket) -> None:
    """Remove the file that a socket is bound to, so that nobody new finds it; call it before the socket is closed."""
    with contextlib.suppress(OSError):  # somebody was faster
        Path(sock.getsockname()).unlink()


def ask_credentials(sock: socket.socket) -> None:
    """Let the kernel say of each datagram who sent it."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 1)


def peer_of(sock: socket.socket) -> str:
    """Name the process that connected (SO_PEERCRED)."""
    return read_credentials(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))


def user_of(identity: str | None) -> str | None:
    """Cut the user out of an identity: processes come and go, and limits are kept by user."""
    return None if identity is None else identity.partition(" ")[0]


def queue_room() -> int:
    """How many datagrams the kernel holds before senders have to wait."""
    try:
        return int(QUEUE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _QUEUE_USUAL


def _make_room(path: str, kind: socket.SocketKind) -> None:
    """Remove a socket file that nobody listens on."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "something stands there that is no socket file")
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
        error = probe.connect_ex(path)
    if error != errno.ECONNREFUSED:  # EPROTOTYPE: somebody listens for the other kind; EAGAIN: its queue is full
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    Path(path).unlink()


def _dress(listener: Listener, path: str) -> None:
    owner, group = _number(listener.socket_owner, _user), _number(listener.socket_group, _group)
    if (owner, group) != (-1, -1):
        os.chown(path, owner, group)
    Path(path).chmod(int(listener.socket_mode, 8))


def _number(name: str | None, find: Callable[[str], int]) -> int:
    """Give the number of a user or group; -1 leaves it as it is (chown(2))."""
    if name is None:
        return -1
    if name.isdecimal():
        return int(name)
    try:
        return find(name)
    except KeyError:
        raise OSError(errno.EINVAL, f"this machine knows no {name}") from None


def _user(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return grp.getgrnam(name).gr_gid
