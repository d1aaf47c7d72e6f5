"""The syslog collector: every listener on its own. A port that is taken is a state, shown and retried."""

import asyncio
import errno
import random
from typing import Any, Final

from collectors.sink import Sink
from collectors.syslog.config import Listener, Syslog
from collectors.syslog.lanes import Sorter
from collectors.syslog.tcp import TcpReader, open_tcp
from collectors.syslog.udp import UdpReader, open_udp

RETRY_SECONDS: Final = (1.0, 30.0)
_REMEDIES: Final = {
    errno.EADDRINUSE: "another program has the port: `ss -lnptu` names it",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: see the unit, or take a port above",
    errno.EADDRNOTAVAIL: "this machine has no such address: `ip address`",
}


async def collect(config: Syslog, sink: Sink) -> None:
    """Listen until cancelled."""
    sorter = Sorter(config, sink)
    states = _States(config, sink)
    async with asyncio.TaskGroup() as tasks:
        for at, listener in enumerate(config.listeners):
            tasks.create_task(_listen(listener, at, sorter=sorter, sink=sink, states=states), name=listener.bind)


class _States:
    """What status shows of each listener."""

    def __init__(self, config: Syslog, sink: Sink) -> None:
        self._sink = sink
        self._listeners: list[dict[str, Any]] = [{"bind": one.bind, "state": "opening"} for one in config.listeners]

    def set(self, at: int, **facts: Any) -> None:
        """Replace the facts of one listener."""
        self._listeners[at] = {"bind": self._listeners[at]["bind"], **facts}
        self._sink.report(listeners=list(self._listeners))


async def _listen(listener: Listener, at: int, *, sorter: Sorter, sink: Sink, states: _States) -> None:
    wait = RETRY_SECONDS[0]
    while True:
        try:
            reader = _open(listener, at, sorter=sorter, sink=sink, states=states)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "check the address and the port")
            states.set(at, state="failed", problem=f"{listener.bind}: {error.strerror}", remedy=remedy)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            wait = min(RETRY_SECONDS[1], 2 * wait)
        else:
            await reader.run()


def _open(listener: Listener, at: int, *, sorter: Sorter, sink: Sink, states: _States) -> UdpReader | TcpReader:
    if listener.transport == "tcp":
        stream = open_tcp(listener)
        states.set(at, state="listening", port=stream.getsockname()[1])
        return TcpReader(stream, listener, sorter=sorter, sink=sink)
    sock, granted = open_udp(listener)
    facts: dict[str, Any] = {"state": "listening", "port": sock.getsockname()[1], "receive_buffer_bytes": granted}
    if granted < listener.receive_buffer_bytes:
        wanted = listener.receive_buffer_bytes
        facts["problem"] = f"{listener.bind}: the kernel grants a receive buffer of {granted} bytes, {wanted} were asked"
        facts["remedy"] = f"sysctl -w net.core.rmem_max={wanted}, then restart"
    states.set(at, **facts)
    return UdpReader(sock, listener, sorter=sorter, sink=sink)
