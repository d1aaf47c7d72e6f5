"""A running agent's parts without collectors: intake, buffer, forward (never connected unless it is run), status."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.buffer import Buffer, Origin
from agent.clock import boot_id
from agent.forward import Forward, ForwardSettings
from agent.intake import Intake
from agent.report import Pulse
from agent.rules import Rule, Rules
from agent.settings import Settings
from agent.status import Parts
from agent.supervise import Supervisor
from collectors.syslog.config import Syslog
from wire.client import Broker


@asynccontextmanager
async def parts(
    folder: Path, *, broker: str = "mqtt://127.0.0.1:1", rules: tuple[Rule, ...] = ()
) -> AsyncIterator[Parts]:
    """Give the parts of an agent whose state is in `folder`."""
    settings = Settings(
        version=1,
        agent="test",
        site="lab",
        state_dir=str(folder / "state"),
        socket=str(folder / "status.sock"),
        forward=ForwardSettings(brokers=(Broker(url=broker),)),
        collectors=(Syslog(),),
        rules=rules,
    )
    forward = Forward(agent="test", site="lab", settings=settings.forward, version="0")
    origin = Origin("test", "lab", boot_id())
    buffer = await Buffer.open(folder / "state", origin=origin, settings=settings.buffer, in_flight=forward.in_flight)
    intake = Intake(buffer, rules=Rules(rules))
    intake.link = forward
    forward.attach(buffer)
    try:
        yield Parts(
            settings,
            intake=intake,
            buffer=buffer,
            forward=forward,
            supervisor=Supervisor(),
            pulse=Pulse(lambda _: None),
        )
    finally:
        await intake.close()
        await buffer.close()
