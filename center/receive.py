"""The life of a receiver: open the folder, then brokers in order, until SIGTERM; and its socket for the ledger."""

import asyncio
import json
import logging
import secrets
import signal
import sqlite3
from pathlib import Path
from typing import Final

from center.commit import Commit
from center.ledger import make_ledger
from center.settings import Settings
from wire.client import MQTT_5, MQTT_311, Broker, ConnectFailed, Disconnected, NotDelivered, connect
from wire.receive import Receiver, receive
from wire.service import notify, raise_file_limit, set_up_logging

STOPPED: Final = 0
DISK: Final = 74
RETRY_SECONDS: Final = (0.5, 10.0)
ASK_SECONDS: Final = 5.0
log = logging.getLogger("edgepost.center")


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Receive until `stop` is set; the group under way is finished and receipted first."""
    sink = settings.sinks[0]
    folder = Path(sink.dir)
    commit = Commit(folder, sink.sink)
    await commit.open()
    receiver = Receiver(
        root=settings.root,
        group=settings.group,
        name=settings.receiver,
        site=settings.site,
        relays=frozenset(settings.relays),
        commit=commit.commit,
        keep_refused=commit.keep_refused,
        hear_state=commit.hear_state,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_receive_for_ever(settings, receiver), name="receive"),
            tasks.create_task(_serve_ledger(folder / "center.sock", commit, receiver), name="ledger"),
        ]
        await stop.wait()
        notify(STOPPING="1")
        for task in running:
            task.cancel()
    await commit.close()


async def _receive_for_ever(settings: Settings, receiver: Receiver) -> None:
    dialect: dict[str, int] = {}
    wait = RETRY_SECONDS[0]
    while True:
        for broker in settings.brokers:
            try:
                await _receive_from(broker, receiver, protocol=dialect.get(broker.url, MQTT_5))
                wait = RETRY_SECONDS[0]
            except ConnectFailed as failed:
                if dialect.pop(broker.url, None) is None and failed.is_old_broker:
                    dialect[broker.url] = MQTT_311
                    continue
                log.warning("broker %s: %s; %s", broker.url, failed, failed.remedy)
            except (Disconnected, NotDelivered) as lost:
                log.warning("broker %s: %s", broker.url, lost)
            await asyncio.sleep(wait)
            wait = min(RETRY_SECONDS[1], 2 * wait)


async def _receive_from(broker: Broker, receiver: Receiver, *, protocol: int) -> None:
    client_id = f"{receiver.name}-{secrets.token_hex(3)}"
    async with connect(broker, client_id=client_id, protocol=protocol) as client:

        def ready() -> None:
            log.info("receiving from %s as group %s", broker.url, receiver.group)
            notify(READY="1", STATUS=f"receiving from {broker.url}")

        receiver.count("connections")
        await receive(client, receiver, ready=ready)


async def _serve_ledger(path: Path, commit: Commit, receiver: Receiver) -> None:
    """Answer `edgepost-center ledger` on a Unix socket: one line in, one JSON line out."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await reader.readline()
                ledger = await commit.with_memory(make_ledger)
                said = {**ledger, "counts": dict(receiver.counts), "problem": commit.problem}
                writer.write(json.dumps(said).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError, sqlite3.Error):
            return
        finally:
            writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 - one call on a local folder, before anything runs
    server = await asyncio.start_unix_server(answer, path, limit=4096)
    path.chmod(0o660)  # noqa: ASYNC240 - likewise
    try:
        async with server:
            await server.serve_forever()
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - likewise


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
    except (OSError, sqlite3.Error) as error:
        log.critical("%s cannot be used: %s", settings.sinks[0].dir, error)
        return DISK
    return STOPPED
