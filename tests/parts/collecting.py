"""A collector at work, without an agent: started on free ports, ended by cancellation within a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parts.sinks import ListSink

from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.listener import Listener


def listeners(sink: ListSink) -> list[dict]:
    """What the collector reports of its listeners."""
    return list(sink.reported.get("listeners", []))


@asynccontextmanager
async def collecting(sink: ListSink, *binds: str, limit: int = 100, **options: object) -> AsyncIterator[list[int]]:
    """Run the syslog collector; give the ports of its listeners."""
    config = Syslog(listeners=tuple(Listener(bind=bind, **options) for bind in binds), urgent_rows_per_second=limit)
    task = asyncio.create_task(collect(config, sink))
    try:
        await sink.until(lambda: listeners(sink) and all(each["state"] == "listening" for each in listeners(sink)))
        yield [each.get("port") for each in listeners(sink)]
    finally:
        await stop(task)


async def stop(task: asyncio.Task) -> None:
    """Cancel a collector; it has a second."""
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([task])
    assert task.cancelled()
