"""One connection after the other: what is logged, when a broker is left, what a failing disk must not do."""

import asyncio
import logging
import sqlite3
from contextlib import AsyncExitStack

import pytest
from parts.brokers import mosquitto
from parts.forwarding import forwarding
from parts.receivers import commits, receiver

from agent.buffer import NotRead
from agent.health import find_problems
from wire import topics
from wire.client import Broker, connect, next_message
from wire.receipts import REFUSED, Receipt
from wire.state import decode_state

pytestmark = pytest.mark.needs("mosquitto")


async def test_a_lost_connection_is_no_goodbye_and_a_stop_is_one(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with mosquitto(tmp_path / "broker") as broker:
        async with forwarding(tmp_path, broker) as one:
            for _ in range(2):
                await one.state("connected")
                await broker.kill()
                await one.state("not connected")
                await broker.start()
            await one.state("connected")
        assert "the last state was not delivered" not in caplog.text
        async with connect(Broker(url=broker.url), client_id="watcher") as watcher:
            await watcher.hear(topics.state("edgepost", "lab", sender="gw-1"))
            assert not decode_state((await next_message(watcher)).payload).online


async def test_a_stop_on_a_broker_that_does_not_answer_ends_all_the_same(tmp_path, caplog):
    async with mosquitto(tmp_path / "broker") as broker:
        async with forwarding(tmp_path, broker) as one:
            await one.state("connected")
            broker.pause()
        broker.resume()
    assert 1 == caplog.text.count("the last state was not delivered")


async def test_while_the_disk_cannot_be_read_a_refused_batch_stays_in_flight(tmp_path):
    class Disk:
        is_broken = False

        def __call__(self, step):
            if self.is_broken:
                error = sqlite3.OperationalError(f"injected at {step}")
                error.sqlite_errorcode = 10
                raise error

    disk = Disk()
    refusals = 0

    def answer(up, batch):
        nonlocal refusals
        refusals += 1
        return Receipt(batch.name, batch.digest, REFUSED, "digest") if refusals == 1 else commits(up, batch)

    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker"))
        one = await stack.enter_async_context(forwarding(tmp_path, broker, step=disk))
        await one.state("connected")
        (held,) = await one.put()
        disk.is_broken = True
        assert NotRead.FAULT is await one.buffer.fetch(held.key)
        center = await stack.enter_async_context(receiver(broker.url, answer=answer))
        center.say(topics.Up("lab", "gw-1", "log"))
        await center.until(lambda: len(center.got) == 2)
        assert {} == one.buffer.facts()["parked"]
        await one.until(lambda: not one.forward.sender.window.flights)
        disk.is_broken = False


async def test_a_broker_is_left_when_no_receipt_comes_for_long_and_not_when_one_batch_waits_long(tmp_path, monkeypatch):
    """The first group answers all the time, the second never: the connection delivers, and is not left."""
    monkeypatch.setattr("agent.forward.forward.NOT_DELIVERING_SECONDS", 3.0)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(mosquitto(tmp_path / "first"))
        second = await stack.enter_async_context(mosquitto(tmp_path / "second"))
        center = await stack.enter_async_context(receiver(first.url))
        one = await stack.enter_async_context(forwarding(tmp_path, first, second, confirm=("center", "archive")))
        await one.state("connected")
        loop = asyncio.get_running_loop()
        since = loop.time()
        for number in range(1000):
            if loop.time() - since > 6.0:
                break
            await one.put(10 * number)
            await center.until(lambda number=number: len(center.got) > number)
        assert (1, first.url) == (one.forward.facts()["connections"], one.forward.facts()["broker"])
        await one.until(lambda: one.forward.facts()["broker"] == second.url)


async def test_a_forwarder_that_is_stuck_is_never_called_healthy(tmp_path, monkeypatch):
    """Whatever the reason: here the reader waits for ever."""
    monkeypatch.setattr("agent.forward.forward.WATCH_SECONDS", 0.01)
    async with mosquitto(tmp_path / "broker") as broker, receiver(broker.url), forwarding(tmp_path, broker) as one:
        await one.put()
        await one.ended(received=2, confirmed=2)
        stuck = asyncio.Event()

        async def never(*_, **__):
            await stuck.wait()
            return []

        monkeypatch.setattr(one.buffer, "read", never)
        assert "connected" == one.forward.facts()["state"]
        await one.put(10)
        monkeypatch.setattr("agent.forward.forward.STALLED_SECONDS", 0.1)
        said = await one.state("stalled")
        (problem,) = find_problems(
            {"forward": said, "collectors": [{"state": "running"}], "buffer": {"state": "ok"}}, {}
        )
        assert ("degraded", "forward") == (problem["severity"], problem["where"])
        assert "restart edgepost" in problem["remedy"]


async def test_a_state_that_is_too_large_for_the_broker_tells_the_newest_spans(tmp_path):
    async with AsyncExitStack() as stack:
        for _ in range(40):  # each opening that commits is an epoch
            async with mosquitto(tmp_path / "none") as nowhere, forwarding(tmp_path, nowhere) as one:
                await one.put()
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker", options=["max_packet_size 1100"]))
        await stack.enter_async_context(receiver(broker.url))
        one = await stack.enter_async_context(forwarding(tmp_path, broker))
        (held,) = await one.put(7)
        await one.ended(received=82, confirmed=82)
        assert held.name.epoch == one.buffer.epoch
