"""The life of a receiver: open the folder, then brokers in order, until SIGTERM; and its socket for the ledger."""

import asyncio
import logging
import os
import secrets
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, Final, Never

from center.commit import Commit
from center.ledger import make_ledger
from center.lock import FolderHeld
from center.memory import Unknown
from center.serve import serve_ledger
from center.settings import Settings
from center.sinks import ReaderGone
from wire.client import MQTT_5, MQTT_311, Broker, ConnectFailed, Disconnected, NotDelivered, connect
from wire.receive import Receiver, receive
from wire.service import notify, raise_file_limit, set_up_logging

STOPPED: Final = 0
BUG: Final = 70
DISK: Final = 74
STOPPED_READER: Final = 141  # 128 + SIGPIPE, as a shell shows a program whose reader went away
RETRY_SECONDS: Final = (0.5, 10.0)
TEND_SECONDS: Final = 60.0
log = logging.getLogger("edgepost.center")


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Receive until `stop` is set; the group under way is finished and receipted first."""
    folder = Path(settings.sinks[0].dir)
    commit = Commit(folder, settings.sinks[0].sink)
    await commit.open()
    receiver = Receiver(
        root=settings.root,
        group=settings.group,
        name=settings.receiver,
        site=settings.site,
        relays=frozenset(settings.relays),
        commit=commit.commit,
        hear=commit.hear,
    )

    async def ledger() -> dict[str, Any]:
        found = await commit.with_memory(make_ledger)
        return {**found, "counts": dict(receiver.counts), "problem": commit.problem}

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_Brokers(settings, receiver).receive(), name="receive"),
                tasks.create_task(serve_ledger(folder / "center.sock", ledger), name="ledger"),
                tasks.create_task(_tend(commit), name="tend"),
            ]
            notify(READY="1", STATUS="no broker yet")
            await stop.wait()
            notify(STOPPING="1")
            for task in running:
                task.cancel()
    finally:
        await commit.close()


async def _tend(commit: Commit) -> Never:
    while True:
        await asyncio.sleep(TEND_SECONDS)
        await commit.tend()


class _Brokers:
    """Brokers in order, one connection at a time; each trouble is said once."""

    def __init__(self, settings: Settings, receiver: Receiver) -> None:
        self._brokers = settings.brokers
        self._receiver = receiver
        self._dialect: dict[str, int] = {}  # by broker: 3.1.1 where 5 was not understood
        self._told: dict[str, str] = {}

    async def receive(self) -> Never:
        """Receive until cancelled, with a growing pause while no connection lasts."""
        wait = RETRY_SECONDS[0]
        while True:
            for broker in self._brokers:
                started = time.monotonic()
                await self._try(broker)
                lasted = time.monotonic() - started > RETRY_SECONDS[1]
                wait = RETRY_SECONDS[0] if lasted else min(RETRY_SECONDS[1], 2 * wait)
                await asyncio.sleep(wait)

    async def _try(self, broker: Broker) -> None:
        """Receive from one broker until the connection ends, or cannot be made."""
        try:
            await self._receive_from(broker)
        except ConnectFailed as failed:
            if self._dialect.pop(broker.url, None) is None and failed.is_old_broker:
                self._dialect[broker.url] = MQTT_311
                await self._try(broker)
                return
            self._tell(broker, f"{failed}; {failed.remedy}")
        except (Disconnected, NotDelivered) as lost:
            self._tell(broker, str(lost))

    async def _receive_from(self, broker: Broker) -> None:
        receiver = self._receiver
        client_id = f"{receiver.name}-{secrets.token_hex(3)}"
        protocol = self._dialect.get(broker.url, MQTT_5)
        async with connect(broker, client_id=client_id, protocol=protocol) as client:

            def ready() -> None:
                self._told.pop(broker.url, None)
                log.info("receiving from %s as group %s", broker.url, receiver.group)
                notify(STATUS=f"receiving from {broker.url}")

            receiver.count("connections")
            await receive(client, receiver, ready=ready)

    def _tell(self, broker: Broker, trouble: str) -> None:
        notify(STATUS=f"not receiving: {broker.url}: {trouble}")
        if self._told.get(broker.url) != trouble:
            log.warning("broker %s: %s", broker.url, trouble)
        self._told[broker.url] = trouble


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop=stop)


def main(settings: Settings) -> int:
    """Run the receiver; give the exit code."""
    set_up_logging()
    raise_file_limit()
    try:
        asyncio.run(_main(settings))
    except (FolderHeld, Unknown) as error:
        log.critical("%s", error)
        return DISK
    except (OSError, sqlite3.Error) as error:
        log.critical("%s cannot be used: %s", settings.sinks[0].dir, error)
        return DISK
    except BaseExceptionGroup as group:
        return _end(group)
    return STOPPED


def _end(group: BaseExceptionGroup[BaseException]) -> int:
    """Tell a reader that went away from a bug."""
    gone, bugs = group.split(ReaderGone)
    if bugs is not None or gone is None:
        log.critical("a bug ended the receiver", exc_info=group)
        return BUG
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails too
    log.warning("whoever read our stdout is gone")
    return STOPPED_READER
