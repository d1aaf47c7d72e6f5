"""Batches that cannot leave are parked, told with their reason, and tried again: nothing stays here for ever unseen."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from parts.brokers import mosquitto
from parts.forwarding import forwarding
from parts.receivers import commits, receiver

from agent.buffer.rows import ROT
from agent.health import find_problems
from agent.parking import LOST_ALONE, REFUSED, TOO_LARGE
from wire.receipts import REFUSED as BROKEN
from wire.receipts import Receipt

pytestmark = pytest.mark.needs("mosquitto")
RANDOM = random.Random(5)


def large() -> str:
    """Text that no compression makes small."""
    return RANDOM.randbytes(20_000).hex()


async def test_a_batch_that_the_broker_cannot_take_is_parked_at_once_and_all_others_go_on(tmp_path):
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker", options=["max_packet_size 8000"]))
        center = await stack.enter_async_context(receiver(broker.url))
        one = await stack.enter_async_context(forwarding(tmp_path, broker))
        await one.put(0)
        await one.put(10, rows=1, text=large())
        await one.put(20)
        await one.until(lambda: one.account() == {"received": 5, "confirmed": 4})
        assert {TOO_LARGE: 1} == await one.until(lambda: one.buffer.facts()["parked"])
        facts = one.forward.facts()
        assert ("connected", 1) == (facts["state"], facts["connections"])
        assert 2 == len(center.got)


async def test_a_batch_for_which_the_broker_cuts_the_connection_goes_alone_and_is_parked(tmp_path):
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker", options=["message_size_limit 8000"]))
        await stack.enter_async_context(receiver(broker.url))
        one = await stack.enter_async_context(forwarding(tmp_path, broker))
        await one.put(10, rows=1, text=large())
        await one.put(20)
        await one.until(lambda: one.account() == {"received": 3, "confirmed": 2})
        assert {LOST_ALONE: 1} == await one.until(lambda: one.buffer.facts()["parked"])


async def test_what_was_too_large_leaves_at_the_next_start_when_the_broker_takes_it(tmp_path):
    folder = tmp_path / "broker"
    async with mosquitto(folder, options=["max_packet_size 8000"]) as broker, forwarding(tmp_path, broker) as one:
        await one.put(0, rows=1, text=large())
        await one.until(lambda: one.buffer.facts()["parked"])
    async with mosquitto(folder) as broker, receiver(broker.url), forwarding(tmp_path, broker) as one:
        await one.ended(received=1, confirmed=1)
        await one.until(lambda: one.buffer.facts()["parked"] == {})


async def test_parked_batches_are_tried_again_one_at_a_time_and_are_told_after_a_restart(tmp_path):
    """Three are lost alone, then the agent restarts without a receiver: it must say what it holds."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker"))
        async with forwarding(tmp_path, broker) as one:
            held = [(await one.put(10 * number))[0] for number in range(3)]
            await one.until(lambda: len(one.forward.sender.window.flights) == 3)
            for flight in list(one.forward.sender.window.flights.values()):
                one.forward.sender.park(flight, LOST_ALONE)
            await one.until(lambda: one.buffer.facts()["parked"] == {LOST_ALONE: 3})
        one = await stack.enter_async_context(forwarding(tmp_path, broker))
        assert {LOST_ALONE: 3} == await one.until(lambda: one.buffer.facts()["parked"])
        (problem,) = [each for each in find_problems(facts_of(one), {}) if "parked" in each["what"]]
        assert "3 batches are parked" in problem["what"]
        assert "broker's log" in problem["remedy"]
        await one.until(lambda: one.forward.sender.trial is not None)
        assert 1 == len(one.forward.sender.window.flights)
        center = await stack.enter_async_context(receiver(broker.url))
        center.say(up_of(one))  # a trial is not sent again; the other two are tried after it
        one.forward.sender.remove(one.forward.sender.trial)
        await center.until(lambda: len(center.got) == 2)
        assert [batch.name for _, batch in center.got] == [batch.name for batch in held[1:]]
        await one.until(lambda: not one.forward.sender.retry_after)
        an_hour_later(one)
        await one.ended(received=6, confirmed=6)
        await one.until(lambda: one.buffer.facts()["parked"] == {})


async def test_a_connection_that_breaks_with_a_trial_ends_the_round_and_loses_nothing(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, forwarding(tmp_path, broker) as one:
        await one.put()
        (flight,) = await one.until(lambda: list(one.forward.sender.window.flights.values()))
        one.forward.sender.park(flight, REFUSED)
        broker.pause()
        an_hour_later(one)
        trial = await one.until(lambda: one.forward.sender.trial)
        await one.until(lambda: trial.is_out)
        await broker.kill()
        await one.state("not connected")
        await broker.start()
        await one.state("connected")
        assert one.forward.sender.retry_at > asyncio.get_running_loop().time() + 3000
        assert {} == one.forward.sender.window.flights
        async with receiver(broker.url):
            an_hour_later(one)
            await one.ended(received=2, confirmed=2)


async def test_what_is_refused_twice_is_parked_and_confirmed_when_it_arrives_whole(tmp_path):
    is_healed = False

    def answer(up, batch):
        return commits(up, batch) if is_healed else Receipt(batch.name, batch.digest, BROKEN, "digest")

    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker"))
        center = await stack.enter_async_context(receiver(broker.url, answer=answer))
        one = await stack.enter_async_context(forwarding(tmp_path, broker))
        await one.put()
        assert {REFUSED: 1} == await one.until(lambda: one.buffer.facts()["parked"])
        assert 2 == len(center.got)
        is_healed = True
        an_hour_later(one)
        await one.ended(received=2, confirmed=2)


async def test_a_rotten_batch_is_never_tried_again_and_is_no_problem_for_ever(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, forwarding(tmp_path, broker) as one:
        (held,) = await one.put()
        await one.until(lambda: one.forward.sender.window.flights)
        one.buffer.park(held, ROT)
        assert {ROT: 1} == await one.until(lambda: one.buffer.facts()["parked"])
        assert await one.buffer.next_parked(after=0, limit_bytes=None) is None
        assert [] == [each for each in find_problems(facts_of(one), {}) if "parked" in each["what"]]


def an_hour_later(one):
    one.forward.sender.retry_at = 0.0
    one.forward.sender.wake.set()


def facts_of(one):
    listening = {"listeners": [{"state": "listening"}]}
    collectors = [{"name": "syslog", "state": "running", "report": listening}]
    return {"collectors": collectors, "buffer": one.buffer.facts(), "forward": one.forward.facts()}


def up_of(one):
    from wire.topics import Up

    return Up(one.forward.sender.site, one.forward.sender.agent, "log")
