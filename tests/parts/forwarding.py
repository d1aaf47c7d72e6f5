"""A buffer and a forwarder at work on a real broker, without collectors: what is put is committed, and leaves.

async with forwarding(tmp_path, broker) as one:
    await one.put(first=0)
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parts.brokers import Running
from parts.buffers import sealed

from agent.buffer import Buffer, BufferSettings, Held, Origin
from agent.forward import Forward, ForwardSettings
from wire.client import Broker

POLL_SECONDS = 0.01
WAIT_SECONDS = 20.0


@dataclass
class Forwarding:
    """One agent's far end."""

    buffer: Buffer
    forward: Forward

    async def put(self, first: int = 0, rows: int = 2, *, lane: int = 1, text: str = "") -> list[Held]:
        """Commit one batch of rows numbered from `first`."""
        self.buffer.seal(sealed(first, rows, lane=lane, text=text))
        return await self.buffer.commit()

    def account(self, stream: str = "log") -> dict[str, int]:
        """Rows of one stream by what became of them, of all origins."""
        sums: Counter[str] = Counter()
        for one in self.buffer.facts()["account"]:
            if one["stream"] == stream:
                sums[one["what"]] += one["rows"]
        return dict(sums)

    async def until(self, claim: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """Wait until something is true; the account and the facts change without telling anybody."""
        async with asyncio.timeout(seconds):
            while not (found := claim()):
                await asyncio.sleep(POLL_SECONDS)
        return found

    async def ended(self, **account: int) -> None:
        """Wait until the account of the stream `log` says so; `_` stands for `:` and `-`."""
        said = {what.replace("__", ":").replace("_", "-"): rows for what, rows in account.items()}
        await self.until(lambda: self.account() == said)

    async def state(self, state: str, *, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until the forwarder is in a state; give its facts."""
        await self.until(lambda: self.forward.facts()["state"] == state, seconds=seconds)
        return self.forward.facts()


@asynccontextmanager
async def forwarding(
    folder: Path,
    *brokers: Running,
    agent: str = "gw-1",
    site: str = "lab",
    step: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> AsyncIterator[Forwarding]:
    """Run a forwarder on brokers; on leaving it stops as at a SIGTERM, without any grace time."""
    logins = tuple(Broker(url=broker.url, user=agent) for broker in brokers)
    forward = Forward(agent=agent, site=site, settings=ForwardSettings(brokers=logins, **settings), version="0")
    origin = Origin(agent, site, b"B" * 16)
    buffer = await Buffer.open(
        folder / "state", origin=origin, settings=BufferSettings(), in_flight=forward.in_flight, step=step
    )
    forward.attach(buffer)
    task = asyncio.create_task(forward.run(), name="forward")
    try:
        yield Forwarding(buffer, forward)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await buffer.close()
        assert task.cancelled() or task.exception() is None, task.exception()
