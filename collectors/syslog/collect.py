"""The syslog collector: all its listeners, read by one pump.

    listener ──open──► socket ──► service (udp.py, tcp.py) ──turns──► pump ──► rows ──► lanes ──► sink
       ▲                                │
       └─ taken, forbidden, failed: shown by status, tried again with back-off; the other listeners run

At a stop, which is a cancellation, the pump goes on until the senders have nothing left, then until the kernel has
nothing left, as long as the sink allows; what is left then is counted (`stop`). When a bug ends the collector nothing is
read any more, and what is left is counted too (`failed`).
"""

import asyncio
import errno
import random
import socket
from typing import Final, NoReturn, Protocol

from collectors.sink import Sink
from collectors.syslog.config import Listener, Syslog
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.pump import Pump
from collectors.syslog.sockets import granted_bytes, open_socket
from collectors.syslog.tcp import Budget, TcpService
from collectors.syslog.udp import UdpService

RETRY_SECONDS: Final = 1.0  # first, then doubled
RETRY_MOST_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 1.0
TAKING_SHARE: Final = 0.8  # of the time of a stop in which senders may still send; the rest is for what is here then
_REMEDIES: Final = {
    errno.EADDRINUSE: "see who holds the port: ss -lnptu",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE; or bind a port above",
    errno.EADDRNOTAVAIL: "the address is not this machine's: ip address",
    errno.EAFNOSUPPORT: "this machine has no IPv6: bind 0.0.0.0",
}


class Service(Protocol):
    """A listener that is open."""

    failed: asyncio.Future[OSError]

    @property
    def facts(self) -> dict[str, object]:
        """What status shows beside the address."""

    def sweep(self) -> None:
        """Do what is due once a second."""

    def stop(self) -> None:
        """Take nobody new; whoever is read by the pump now closes when nothing is left."""

    def freeze(self) -> None:
        """Let the kernel take nothing more."""

    def close(self, left: str) -> None:
        """Close what is not closed yet; what is lost by it is counted under `left`."""


async def collect(config: Syslog, sink: Sink) -> None:
    """Listen until cancelled."""
    office = _Office(config, sink)
    left = "failed"
    try:
        await office.run(config)
    except asyncio.CancelledError:
        left = "stop"
        await office.finish(sink.finish_seconds)
        raise
    finally:
        office.close(left)


class _Office:
    """Owns the open services, by the index of their listener, and what status shows of each."""

    def __init__(self, config: Syslog, sink: Sink) -> None:
        self.pump = Pump(sink)
        self._sink = sink
        self._lanes = LaneSorter(config, sink)
        self._budget = Budget()
        self._services: dict[int, Service] = {}
        self._facts: list[dict[str, object]] = [{"bind": each.bind, "state": "opening"} for each in config.listeners]
        self._reported: list[dict[str, object]] = []

    async def run(self, config: Syslog) -> None:
        """Run pump, watch and listeners until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pump.run(), name=f"{config.name} pump")
            tasks.create_task(self.watch(), name=f"{config.name} watch")
            for index, listener in enumerate(config.listeners):
                tasks.create_task(self.listen(index, listener), name=f"{config.name} {listener.bind}")

    async def listen(self, index: int, listener: Listener) -> NoReturn:
        """Keep one listener open."""
        delay = RETRY_SECONDS
        while True:
            try:
                service = self._open(index, listener)
            except OSError as error:
                self._show_error(index, error)
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))  # noqa: S311 - jitter is no secret
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                continue
            delay = RETRY_SECONDS
            failure = await asyncio.shield(service.failed)
            self._close(index, service, left="failed")
            self._show_error(index, failure)

    async def watch(self) -> NoReturn:
        """Once a second count what the kernel dropped, close what is idle, and show what changed."""
        while True:
            for service in list(self._services.values()):
                service.sweep()
            self._report()
            await asyncio.sleep(WATCH_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Take what senders have handed over; each socket is closed when nothing is left."""
        now = asyncio.get_running_loop().time()
        for service in self._services.values():
            service.stop()
        await self.pump.finish(until=now + TAKING_SHARE * seconds)
        for service in self._services.values():
            service.freeze()
        await self.pump.finish(until=now + seconds)

    def close(self, left: str) -> None:
        """Close everything that is still open."""
        for index, service in list(self._services.items()):
            self._close(index, service, left=left)
        self._report()

    def _open(self, index: int, listener: Listener) -> Service:
        sock = open_socket(listener)
        self._show_open(index, listener, sock)
        service: Service
        if sock.type == socket.SOCK_DGRAM:
            service = udp = UdpService(sock, listener, sink=self._sink, lanes=self._lanes)
            self.pump.add(udp)
        else:
            service = TcpService(
                sock, listener, sink=self._sink, lanes=self._lanes, pump=self.pump, budget=self._budget
            )
        self._services[index] = service
        self._report()
        return service

    def _close(self, index: int, service: Service, *, left: str) -> None:
        del self._services[index]
        if isinstance(service, UdpService):
            self.pump.remove(service)
        service.close(left)

    def _show_open(self, index: int, listener: Listener, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        facts: dict[str, object] = {"bind": listener.bind, "state": "listening", "address": host, "port": port}
        if sock.type == socket.SOCK_DGRAM:
            asked, granted = listener.receive_buffer_bytes, granted_bytes(sock)
            facts |= {"asked_bytes": asked, "receive_buffer_bytes": granted}
            if granted < asked:
                facts["problem"] = f"{listener.bind}: the kernel grants a receive buffer of {granted} bytes of {asked}"
                facts["remedy"] = f"sysctl -w net.core.rmem_max={asked}, then restart"
        self._facts[index] = facts

    def _show_error(self, index: int, error: OSError) -> None:
        bind = self._facts[index]["bind"]
        self._facts[index] = {
            "bind": bind,
            "state": "failed",
            "problem": f"{bind}: {error.strerror or error}",
            "remedy": _REMEDIES.get(error.errno or 0, "check the address and the port of this listener"),
        }
        self._report()

    def _report(self) -> None:
        """Show the listeners, if anything changed."""
        listeners = [
            {**facts, **(self._services[index].facts if index in self._services else {})}
            for index, facts in enumerate(self._facts)
        ]
        if listeners != self._reported:
            self._reported = listeners
            self._sink.report(listeners=listeners)
