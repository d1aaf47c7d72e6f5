"""The retained state of a real agent at a real broker: its birth, its will, and an epoch drawn in between."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from parts.agents import parts
from parts.brokers import mosquitto

from agent.events import AGENT, row
from center.states import merge_states
from wire import topics
from wire.client import Broker, connect, next_message
from wire.state import decode_state, encode_state, is_gone

pytestmark = pytest.mark.needs("mosquitto")
SECONDS = 15


@asynccontextmanager
async def watched(tmp_path):
    """An agent that forwards, and somebody who hears its state."""
    async with mosquitto(tmp_path / "broker") as broker, connect(Broker(url=broker.url), client_id="ear") as ear:
        await ear.hear(topics.state("edgepost", "lab", "test"))
        async with parts(tmp_path / "agent", broker=broker.url) as agent:
            forwarding = asyncio.create_task(agent.forward.run())
            try:
                yield agent, ear
            finally:
                forwarding.cancel()
                await asyncio.wait([forwarding])


async def next_state(ear, claim=lambda state: True):
    async with asyncio.timeout(SECONDS):
        while True:
            message = await next_message(ear)
            ear.ack(message)
            state = decode_state(message.payload)
            if claim(state):
                return state


async def test_a_will_counts_after_a_new_epoch_was_drawn_in_mid_connection(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.forward.carry.STATE_SECONDS", 0.05)
    async with watched(tmp_path) as (agent, ear):
        born = await next_state(ear, lambda state: state.online)
        await agent.buffer.draw_epoch()
        agent.intake.sink("agent").put(AGENT, [row("ping", text="a row of the new epoch")])
        drawn = await next_state(ear, lambda state: state.naming == agent.buffer.epoch != born.naming)
        assert (born.epoch, born.connection) == (drawn.epoch, drawn.connection)
        agent.forward._carry._client.drop("as a cut cable does")
        will = await next_state(ear, lambda state: not state.online)
        assert is_gone(drawn, will)
        reborn = await next_state(ear, lambda state: state.online)
        assert not is_gone(reborn, will), "the same will, come late"
        assert merge_states(reborn, will) is None
        assert agent.buffer.epoch == reborn.naming


async def test_an_agent_that_hears_its_own_offline_is_born_again(tmp_path):
    async with watched(tmp_path) as (_, ear):
        born = await next_state(ear, lambda state: state.online)
        stale = topics.state("edgepost", "lab", "test")
        offline = replace(born, online=False, connection=born.connection - 1)
        await ear.publish_acked(stale, encode_state(offline), retain=True)
        await next_state(ear, lambda state: not state.online)
        again = await next_state(ear, lambda state: state.online)
        assert (born.epoch, born.connection) == (again.epoch, again.connection)


async def test_a_farewell_says_what_is_still_held(tmp_path):
    async with watched(tmp_path) as (agent, ear):
        await next_state(ear, lambda state: state.online)
        agent.intake.sink("agent").put(AGENT, [row("ping", text="held")])
        await agent.intake.close()
        (forwarding,) = (task for task in asyncio.all_tasks() if "Forward.run" in str(task.get_coro()))
        forwarding.cancel()
        farewell = await next_state(ear, lambda state: not state.online)
    assert [1] == [span.last for span in farewell.spans]
