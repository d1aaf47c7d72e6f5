"""Connections that do not speak TLS yet: from accept to the end of the handshake, none of them in the way of the rest.

    accept ──► lobby ──step, step──► welcome          a connection that the pump reads
                 │  └──── fails ───► reset, counted, its reason shown
                 └── takes too long ► reset, counted

A step (a signature, a verification) takes up to a millisecond of the loop, so a turn of the loop takes one: between two
of them the pump has its turn, however many knock. Whoever is here counts to the limits of the listener already.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from socket import socket

from collectors.syslog.datagrams import Peer
from collectors.syslog.identity import explain_handshake
from collectors.syslog.sockets import reset
from collectors.syslog.streams import TlsStream


class Guest:
    """One connection that shakes hands; who says nothing costs 2 KiB, who has begun up to 50."""

    def __init__(self, sock: socket, peer: Peer, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.peer = peer
        self.since = time.monotonic()
        self._context = context

    @cached_property
    def stream(self) -> TlsStream:
        """Made when the first bytes are there."""
        return TlsStream(self.sock, self._context)


class Lobby:
    """Owns the connections that shake hands, until they are welcomed or reset."""

    def __init__(
        self, *, welcome: Callable[[Guest], None], leave: Callable[[Peer], None], count: Callable[[str], None]
    ) -> None:
        """`welcome` takes a connection over, `leave` learns that one is gone, `count` is told the reason why."""
        self._welcome = welcome
        self._leave = leave
        self._count = count
        self._guests: set[Guest] = set()
        self._ready: deque[Guest] = deque()
        self._turn: asyncio.Handle | None = None
        self._failed = 0
        self._last: dict[str, object] | None = None

    @property
    def facts(self) -> dict[str, object]:
        """How many shake hands, how many did so in vain, and why the last one did."""
        facts: dict[str, object] = {"handshakes": len(self._guests), "handshakes_failed": self._failed}
        return facts if self._last is None else {**facts, "last_handshake_failure": self._last}

    def enter(self, sock: socket, peer: Peer, context: ssl.SSLContext) -> None:
        """Begin a handshake."""
        guest = Guest(sock, peer, context)
        self._guests.add(guest)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._set_ready, guest)

    def sweep(self, longest_seconds: float) -> None:
        """Reset those who take longer than that."""
        since = time.monotonic() - longest_seconds
        for guest in [each for each in self._guests if each.since < since]:
            self._fail(guest, "handshake-timeout", f"it was not done within {longest_seconds:g} s")

    def settle(self) -> None:
        """At a stop: go on with what is here, then reset the others; they have handed nothing over."""
        for guest in list(self._guests):
            self._step(guest)
        self.close()

    def close(self) -> None:
        """Reset all who are still here, and count nobody: it is not their fault."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for guest in list(self._guests):
            self._let_go(guest)
            reset(guest.sock)
            self._leave(guest.peer)

    def _set_ready(self, guest: Guest) -> None:
        self._stop_waiting(guest)
        self._ready.append(guest)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._ready:
            self._step(self._ready.popleft())
        if self._ready and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _step(self, guest: Guest) -> None:
        try:
            is_done = guest.stream.shake_hands()
        except OSError as error:  # SSLError is one
            self._fail(guest, "handshake-failed", explain_handshake(error))
            return
        if is_done:
            self._let_go(guest)
            self._welcome(guest)
        elif guest not in self._ready:
            self._wait(guest)

    def _wait(self, guest: Guest) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(guest.sock.fileno(), self._set_ready, guest)
        if guest.stream.has_unsent:
            loop.add_writer(guest.sock.fileno(), self._set_ready, guest)

    def _stop_waiting(self, guest: Guest) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(guest.sock.fileno())
        loop.remove_writer(guest.sock.fileno())

    def _fail(self, guest: Guest, reason: str, why: str) -> None:
        self._count(reason)
        self._failed += 1
        self._last = {"peer": guest.peer[0], "why": why, "at_ns": time.time_ns()}
        self._let_go(guest)
        reset(guest.sock)
        self._leave(guest.peer)

    def _let_go(self, guest: Guest) -> None:
        self._stop_waiting(guest)
        self._guests.discard(guest)
        if guest in self._ready:
            self._ready.remove(guest)
