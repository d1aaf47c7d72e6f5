"""Sockets that systemd opened before we were started, and handed over (sd_listen_fds(3), systemd.socket(5)).

    LISTEN_PID=our pid  LISTEN_FDS=2  LISTEN_FDNAMES=syslog-udp:syslog-tcp  ──►  descriptors 3 and 4

What a device sends while the agent is started anew waits in them, and ports below 1024 need no right. systemd keeps
them, so whoever takes one gets a duplicate, which it may close and take again; it must not change what outlasts it: a
filter, a shutdown. The variables are taken out of the environment, so that no child takes the descriptors for its own.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Callable, MutableMapping
from typing import Final

FIRST: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Handed:
    """One socket that was handed over; its descriptor is never closed."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor = descriptor
        self._lent: socket.socket | None = None
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            self.family, self.type = sock.family, sock.type
            self.address = sock.getsockname()

    @property
    def is_lent(self) -> bool:
        """Whether somebody has it now."""
        return self._lent is not None and self._lent.fileno() >= 0

    def lend(self) -> socket.socket:
        """Give a duplicate, non-blocking."""
        sock = self._lent = socket.socket(fileno=os.dup(self._descriptor))
        sock.setblocking(False)
        return sock

    def __str__(self) -> str:
        kind = {socket.SOCK_DGRAM: "datagrams", socket.SOCK_STREAM: "stream"}.get(self.type, "another kind")
        where = self.address if self.family == socket.AF_UNIX else f"{self.address[0]} port {self.address[1]}"
        return f"{self.name or '(no name)'}, {kind} at {where}"


class HandedOver:
    """Owns what was handed over to this process."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._sockets = _read(environment)

    def take(self, is_meant: Callable[[Handed], bool]) -> socket.socket | None:
        """Lend the first one that is meant and that nobody has, if there is one."""
        found = next((one for one in self._sockets if not one.is_lent and is_meant(one)), None)
        return None if found is None else found.lend()

    def unused(self) -> list[str]:
        """Describe those that nobody has."""
        return [str(one) for one in self._sockets if not one.is_lent]


def _read(environment: MutableMapping[str, str]) -> list[Handed]:
    pid, count, names = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []  # meant for another process, or nothing was handed over
    found = []
    for at, name in enumerate((names.split(":") + [""] * int(count))[: int(count)]):
        with contextlib.suppress(OSError):  # closed in between, or no socket after all
            os.set_inheritable(FIRST + at, False)
            if stat.S_ISSOCK(os.fstat(FIRST + at).st_mode):
                found.append(Handed(FIRST + at, name))
    return found


HANDED_OVER: Final = HandedOver(os.environ)
"""Of this process; read once, when this module is loaded."""
