"""The whole life of the agent on one screen; the order of the lines is the lifecycle.

Open the far end first (buffer, forward), then the near end (collectors); stop the other way round, so that whatever
devices have handed over is on disk before anything is closed. No wait of a stop is without its end (`agent/ending.py`).
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from agent import VERSION, ending, events
from agent.buffer import Buffer, Origin, StateDirFailed, StoreHeld
from agent.clock import boot_id
from agent.forward import Forward
from agent.intake import Intake
from agent.report import Drops, Pulse, Silence, tell_start, teller
from agent.rules import Filtered, Rules
from agent.settings import Settings
from agent.status import Parts, keep_status
from agent.supervise import Supervisor
from collectors.registry import COLLECTORS, load
from wire.service import notify, set_up_logging

STOPPED: Final = 0
BUG: Final = 70
DISK: Final = 74
SWITCH_SECONDS: Final = 0.0005  # the writer's thread waits this long for the loop, not 5 ms: commits in 3.5, not 37 ms
GC_THRESHOLD: Final = 20_000  # a chunk makes a thousand tuples that die at once; looking at them costs 3 % of its time
COLLECTING_SHARE: Final = 0.5  # of a stop's grace time, to take what was handed over; the rest is for receipts
log = logging.getLogger("edgepost")


async def run(settings: Settings, *, stop: asyncio.Event) -> bool:
    """Live until `stop` is set; tell whether all that was taken is on the disk then."""
    forward = Forward(agent=settings.agent, site=settings.site, settings=settings.forward, version=VERSION)
    buffer = await _open(settings, in_flight=forward.in_flight)
    finish_seconds = settings.forward.stop_grace_seconds * COLLECTING_SHARE
    intake = Intake(buffer, finish_seconds=finish_seconds, rules=Rules(settings.rules))
    intake.link = forward
    forward.attach(buffer)
    supervisor = Supervisor()
    tell = teller(intake)
    pulse, drops = Pulse(tell), Drops(intake, Filtered(intake.rules, tell))
    parts = Parts(settings, intake=intake, buffer=buffer, forward=forward, supervisor=supervisor, pulse=pulse)
    forward.sender.health = parts.health
    tell_start(tell, unclean_since_ns=buffer.unclean_since_ns)
    async with asyncio.TaskGroup() as tasks:
        near = [tasks.create_task(_keep(one, intake, supervisor), name=one.name) for one in settings.collectors]
        far = [
            tasks.create_task(forward.run(), name="forward"),
            tasks.create_task(keep_status(Path(settings.socket), parts), name="status"),
            tasks.create_task(pulse.run(), name="pulse"),
            tasks.create_task(drops.run(), name="drops"),
            tasks.create_task(_until_failed(buffer), name="writer"),
        ]
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        notify(READY="1", STATUS=f"{len(near)} collectors, forwarding to {len(settings.forward.brokers)} brokers")
        log.info("started: agent %s, site %s, %d collectors", settings.agent, settings.site, len(near))
        await stop.wait()
        notify(STOPPING="1")
        until = time.monotonic() + settings.forward.stop_grace_seconds
        await ending.end(near, seconds=intake.finish_seconds + ending.AGAIN_SECONDS)
        drops.declare()
        tell(events.row("stopped", text="the agent stops: asked to"))
        await ending.commit(intake)
        await ending.receipts(forward, until=until)
        await ending.end(far)
        is_whole = await ending.close(intake, buffer)
    log.info("stopped")
    return is_whole


async def _open(settings: Settings, *, in_flight: set[int]) -> Buffer:
    origin = Origin(settings.agent, settings.site, boot_id())
    return await Buffer.open(Path(settings.state_dir), origin=origin, settings=settings.buffer, in_flight=in_flight)


async def _keep(config: Any, intake: Intake, supervisor: Supervisor) -> None:
    (collector,) = (one for one in COLLECTORS if isinstance(config, one.config))
    sink = intake.sink(config.name, collector.reasons)

    async def start() -> None:
        await load(collector.collect)(config, sink)

    await supervisor.keep(config.name, start, outage=Silence(intake, config.name))


async def _until_failed(buffer: Buffer) -> None:
    await asyncio.shield(buffer.failed)


async def _main(settings: Settings) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as whole:  # so that a bug, wherever it is, comes as a group
        life = whole.create_task(run(settings, stop=stop), name="agent")
    return life.result()


def main(settings: Settings) -> int:
    """Run the agent; give the exit code."""
    set_up_logging()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        is_whole = asyncio.run(_main(settings))
    except BaseExceptionGroup as group:
        if (held := group.subgroup((StoreHeld, StateDirFailed))) is not None:
            log.critical("%s", held.exceptions[0])
            return DISK
        log.critical("a bug ended the agent", exc_info=True)
        return BUG
    return STOPPED if is_whole else DISK
