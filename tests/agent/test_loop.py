"""Nothing blocks the loop: while an agent runs, disk and compression live on the buffer's writer thread."""

import time

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from parts.agents import parts

from agent.buffer.rows import Done
from agent.events import AGENT, row
from collectors.sink import Lane

OURS = ["agent", "center", "collectors", "wire"]


async def test_rows_on_their_way_to_the_disk_and_back_never_block_the_loop(tmp_path):
    async with parts(tmp_path) as agent:
        sink = agent.intake.sink("test")
        with blockbuster_ctx(OURS):
            for lane in Lane:
                await sink.drain()
                sink.put(AGENT, [row("ping", text="x" * 100)] * 3000, lane=lane, mark=("place", b"1"))
            await agent.buffer.commit()
            held = [one for lane in Lane for one in await agent.buffer.read(lane, after=0, limit_bytes=1 << 20)]
            agent.buffer.discard(Done(one, "confirmed") for one in held)
            await agent.buffer.commit()
            facts = agent.buffer.facts()
        assert held
        assert facts["state"] == "ok"


async def test_the_guard_of_these_tests_does_see_a_blocking_call():
    with blockbuster_ctx(), pytest.raises(BlockingError):
        time.sleep(0.001)
