"""The syslog collector: all its listeners, read by one pump.

    listener ──open──► socket ──► service (udp.py, tcp.py) ──turns──► pump ──► rows ──► lanes ──► sink
       ▲                                │
       └─ taken, forbidden, failed, no certificate: shown by status, tried again with back-off; the other listeners run

At a stop, which is a cancellation, the pump goes on until the senders have nothing left, then until the kernel has
nothing left, as long as the sink allows; what is left then is counted (`stop`). When a bug ends the collector nothing is
read any more, and what is left is counted too (`failed`).
"""

import asyncio
import random
from typing import Final, NoReturn, Protocol

from collectors.sink import Sink
from collectors.syslog import shown
from collectors.syslog.config import Syslog
from collectors.syslog.connection import Budget
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.listener import Listener
from collectors.syslog.opening import OpenSocket, open_socket
from collectors.syslog.pump import Pump
from collectors.syslog.tcp import TcpService
from collectors.syslog.tls_files import LOOK_SECONDS, TlsFiles
from collectors.syslog.udp import UdpService

RETRY_SECONDS: Final = 1.0  # first, then doubled
RETRY_MOST_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 1.0
TAKING_SHARE: Final = 0.8  # of the time of a stop in which senders may still send; the rest is for what is here then


class Service(Protocol):
    """A listener that is open."""

    failed: asyncio.Future[OSError]

    @property
    def facts(self) -> dict[str, object]:
        """What status shows beside the address."""

    @property
    def problems(self) -> list[shown.Problem]:
        """What is wrong with it now."""

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
        self._config = config
        self._facts = [shown.opening(each) for each in config.listeners]
        self._problems: list[list[shown.Problem]] = [[] for _ in config.listeners]
        self._reported: dict[str, object] = {}

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
                files = await TlsFiles.open(listener) if listener.is_tls else None
                service = self._open(index, listener, files=files)
            except OSError as error:
                self._show_error(index, error)
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))  # noqa: S311 - jitter is no secret
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                continue
            delay = RETRY_SECONDS
            failure = await _until_failed(service, files)
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

    def _open(self, index: int, listener: Listener, *, files: TlsFiles | None) -> Service:
        opened = open_socket(listener)
        self._facts[index] = shown.opened_facts(listener, opened)
        self._problems[index] = shown.opened_problems(listener, self._facts[index])
        service = self._services[index] = self._serve(opened, listener, files=files)
        self._report()
        return service

    def _serve(self, opened: OpenSocket, listener: Listener, *, files: TlsFiles | None) -> Service:
        lanes = self._lanes
        if listener.urgent_rows_per_second is not None:
            own = listener.urgent_rows_per_second
            lanes = LaneSorter(self._config, self._sink, urgent_rows_per_second=own)
        if opened.is_datagram:
            udp = UdpService(opened, listener, sink=self._sink, lanes=lanes)
            self.pump.add(udp)
            return udp
        return TcpService(
            opened, listener, sink=self._sink, lanes=lanes, pump=self.pump, budget=self._budget, files=files
        )

    def _close(self, index: int, service: Service, *, left: str) -> None:
        del self._services[index]
        if isinstance(service, UdpService):
            self.pump.remove(service)
        service.close(left)

    def _show_error(self, index: int, error: OSError) -> None:
        self._facts[index] = shown.failed_facts(self._config.listeners[index], error)
        self._problems[index] = []
        self._report()

    def _report(self) -> None:
        """Show the listeners, if anything changed."""
        listeners: list[shown.Facts] = []
        warnings: list[dict[str, str]] = []
        for index, facts in enumerate(self._facts):
            service = self._services.get(index)
            problems = [*self._problems[index], *(service.problems if service else [])]
            listeners.append(shown.with_problems({**facts, **(service.facts if service else {})}, problems))
            warnings += shown.warnings(facts["bind"], problems[1:])
        report: dict[str, object] = {"listeners": listeners, "warnings": warnings}
        if report != self._reported:
            self._reported = report
            self._sink.report(**report)


async def _until_failed(service: Service, files: TlsFiles | None) -> OSError:
    """Wait until a service has failed, and take up renewed files meanwhile."""
    while files is not None and not service.failed.done():
        await asyncio.wait([service.failed], timeout=LOOK_SECONDS)
        await files.renew()
    return await asyncio.shield(service.failed)
