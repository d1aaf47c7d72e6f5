"""Connections that do not speak TLS yet: from accept to the end of the handshake, none of them in the way of the rest.

    accept ──► handshake ──step, step──► done: a connection that the pump reads
                   │  └──── fails ─────► reset, counted, its reason shown
                   └── takes too long ─► reset, counted

A step (a signature, a verification) takes up to a millisecond of the loop, so a turn of the loop takes one: between two
of them the pump has its turn, however many connect. A handshake counts to the limits of the listener already.
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


class Handshake:
    """One of them; one that has said nothing costs less than 1 KiB, one that has begun up to 48."""

    def __init__(self, sock: socket, peer: Peer, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.peer = peer
        self.since = time.monotonic()
        self._context = context

    @cached_property
    def stream(self) -> TlsStream:
        """Made when the first bytes are there."""
        return TlsStream(self.sock, self._context)


class Handshakes:
    """Owns the connections that shake hands, until they are handed on or reset."""

    def __init__(
        self, *, done: Callable[[Handshake], None], gone: Callable[[Peer], None], count: Callable[[str], None]
    ) -> None:
        """`done` takes a connection over, `gone` learns that one was reset, `count` is told the reason why."""
        self._done = done
        self._gone = gone
        self._count = count
        self._under_way: set[Handshake] = set()
        self._ready: deque[Handshake] = deque()
        self._turn: asyncio.Handle | None = None
        self._failed = 0
        self._last: dict[str, object] | None = None

    @property
    def facts(self) -> dict[str, object]:
        """How many shake hands, how many did so in vain, and why the last one did."""
        facts: dict[str, object] = {"handshakes": len(self._under_way), "handshakes_failed": self._failed}
        return facts if self._last is None else {**facts, "last_handshake_failure": self._last}

    def begin(self, sock: socket, peer: Peer, context: ssl.SSLContext) -> None:
        """Begin a handshake."""
        handshake = Handshake(sock, peer, context)
        self._under_way.add(handshake)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._set_ready, handshake)

    def sweep(self, longest_seconds: float) -> None:
        """Reset those who take longer than that."""
        since = time.monotonic() - longest_seconds
        for handshake in [each for each in self._under_way if each.since < since]:
            self._fail(handshake, "handshake-timeout", f"it was not done within {longest_seconds:g} s")

    def settle(self) -> None:
        """At a stop: go on with what is here, then reset the others; they have handed nothing over."""
        for handshake in list(self._under_way):
            self._step(handshake)
        self.close()

    def close(self) -> None:
        """Reset all who are still here, and count nobody: it is not their fault."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for handshake in list(self._under_way):
            self._let_go(handshake)
            reset(handshake.sock)
            self._gone(handshake.peer)

    def _set_ready(self, handshake: Handshake) -> None:
        self._stop_waiting(handshake)
        self._ready.append(handshake)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._ready:
            self._step(self._ready.popleft())
        if self._ready and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _step(self, handshake: Handshake) -> None:
        try:
            is_done = handshake.stream.shake_hands()
        except OSError as error:  # SSLError is one
            self._fail(handshake, "handshake-failed", explain_handshake(error))
            return
        if is_done:
            self._let_go(handshake)
            self._done(handshake)
        elif handshake not in self._ready:
            self._wait(handshake)

    def _wait(self, handshake: Handshake) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(handshake.sock.fileno(), self._set_ready, handshake)
        if handshake.stream.has_unsent:
            loop.add_writer(handshake.sock.fileno(), self._set_ready, handshake)

    def _stop_waiting(self, handshake: Handshake) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(handshake.sock.fileno())
        loop.remove_writer(handshake.sock.fileno())

    def _fail(self, handshake: Handshake, reason: str, why: str) -> None:
        self._count(reason)
        self._failed += 1
        self._last = {"peer": handshake.peer[0], "why": why, "at_ns": time.time_ns()}
        self._let_go(handshake)
        reset(handshake.sock)
        self._gone(handshake.peer)

    def _let_go(self, handshake: Handshake) -> None:
        self._stop_waiting(handshake)
        self._under_way.discard(handshake)
        if handshake in self._ready:
            self._ready.remove(handshake)
