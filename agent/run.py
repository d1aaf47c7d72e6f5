"""The whole life of the agent on one screen; the order of the lines is the lifecycle.

Open the far end first (buffer, forward), then the near end (collectors); stop the other way round, so that whatever
was read from a device is on disk before anything is closed.
"""

import asyncio
import gc
import logging
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from agent import VERSION, events
from agent.buffer import Buffer, Origin, StateDirFailed, StoreHeld
from agent.clock import boot_id
from agent.forward import Forward
from agent.intake import Intake
from agent.report import Pulse, declare_drops, tell_start, teller
from agent.settings import Settings
from agent.status import Parts, serve_status
from agent.supervise import Supervisor
from collectors.registry import COLLECTORS, load
from wire.service import notify, raise_file_limit, set_up_logging

STOPPED: Final = 0
BUG: Final = 70
DISK: Final = 74
SWITCH_SECONDS: Final = 0.0005  # the writer's thread waits this long for the loop, not 5 ms: commits in 3.5, not 37 ms
GC_THRESHOLD: Final = 20_000  # a chunk makes a thousand tuples that die at once; looking at them costs 3 % of its time
log = logging.getLogger("edgepost")


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Live until `stop` is set."""
    forward = Forward(agent=settings.agent, site=settings.site, settings=settings.forward, version=VERSION)
    origin = Origin(settings.agent, settings.site, boot_id())
    buffer = await Buffer.open(
        Path(settings.state_dir), origin=origin, settings=settings.buffer, in_flight=forward.in_flight
    )
    intake = Intake(buffer)
    intake.link = forward
    forward.attach(buffer)
    supervisor = Supervisor()
    tell = teller(intake)
    pulse = Pulse(tell)
    parts = Parts(settings, intake=intake, buffer=buffer, forward=forward, supervisor=supervisor, pulse=pulse)
    forward.sender.health = parts.health
    tell_start(tell, unclean_since_ns=buffer.unclean_since_ns)
    async with asyncio.TaskGroup() as tasks:
        near = [
            tasks.create_task(supervisor.keep(config.name, partial(_collect, config, intake)), name=config.name)
            for config in settings.collectors
        ]
        far = [
            tasks.create_task(forward.run(), name="forward"),
            tasks.create_task(serve_status(Path(settings.socket), parts), name="status"),
            tasks.create_task(pulse.run(), name="pulse"),
            tasks.create_task(declare_drops(intake), name="drops"),
            tasks.create_task(_until_failed(buffer), name="writer"),
        ]
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        notify(READY="1", STATUS=f"{len(near)} collectors, forwarding to {len(settings.forward.brokers)} brokers")
        log.info("started: agent %s, site %s, %d collectors", settings.agent, settings.site, len(near))
        await stop.wait()
        notify(STOPPING="1")
        await _end(near)
        tell(events.row("stopped", text="the agent stops: asked to"))
        await intake.close()
        await forward.finish(settings.forward.stop_grace_seconds)
        await _end(far)
    await buffer.close()
    log.info("stopped")


async def _collect(config: Any, intake: Intake) -> None:
    (collector,) = (one for one in COLLECTORS if isinstance(config, one.config))
    await load(collector.collect)(config, intake.sink(config.name))


async def _until_failed(buffer: Buffer) -> None:
    await asyncio.shield(buffer.failed)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop=stop)


def main(settings: Settings) -> int:
    """Run the agent; give the exit code."""
    set_up_logging()
    raise_file_limit()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        asyncio.run(_main(settings))
    except (StoreHeld, StateDirFailed) as error:
        log.critical("%s", error)
        return DISK
    except BaseExceptionGroup:
        log.critical("a bug ended the agent", exc_info=True)
        return BUG
    return STOPPED
