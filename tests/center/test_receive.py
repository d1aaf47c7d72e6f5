"""A receiver as a whole, against a real mosquitto: from a batch on a topic to rows on disk, a receipt, and the ledger."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest
from parts.brokers import mosquitto
from parts.center import eviction, kept, new_epoch, said, texts
from parts.sender import Made, sender

from center import receive as module
from center.receive import run
from center.settings import Settings, SinkSettings
from wire import topics
from wire.client import Broker
from wire.state import Span, State, encode_state

pytestmark = pytest.mark.needs("mosquitto")
SECONDS = 20


class Running:
    """A receiver in this process."""

    def __init__(self, folder, url, **options):
        sinks = (SinkSettings(sink=options.pop("sink", "ndjson"), dir=str(folder)),)
        self.folder = folder
        self.settings = Settings(version=1, brokers=(Broker(url=url, user="center"),), sinks=sinks, **options)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(run(self.settings, stop=self.stop))

    async def ask(self):
        """What the socket answers."""
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(self.folder / "center.sock")
            writer.write(b"ledger\n")
            answer = await reader.readline()
            writer.close()
        return json.loads(answer)

    async def until(self, claim, what):
        """Ask for the ledger until something holds."""
        async with asyncio.timeout(SECONDS):
            while True:
                assert not self.task.done(), self.task.exception()
                try:
                    ledger = await self.ask()
                except OSError:
                    ledger = None
                if ledger and claim(ledger):
                    return ledger
                await asyncio.sleep(0.02)
        raise AssertionError(what)


@asynccontextmanager
async def receiver(folder, url, **options):
    """A receiver that runs; it is stopped as SIGTERM stops it."""
    one = Running(folder, url, **options)
    try:
        await one.until(lambda ledger: True, "the socket answers")
        yield one
    finally:
        one.stop.set()
        await asyncio.wait_for(one.task, SECONDS)


async def heard_by(one, receiver_):
    """Wait until a receiver hears this sender: it answers a state."""
    topic = topics.state(one.root, one.site, one.agent)
    state = State(online=True, epoch=one.epoch, connection=1)
    await one.client.publish_acked(topic, encode_state(state), retain=True)
    await one.hello()
    return receiver_


# --- custody -------------------------------------------------------------------------------------------------------------


async def test_a_batch_becomes_rows_and_its_receipt_says_committed_and_then_repeat_over_restarts(tmp_path):
    folder = tmp_path / "sink"
    async with mosquitto(tmp_path / "broker") as broker, sender(broker.url) as one:
        made = one.batch(["a", "b"])
        async with receiver(folder, broker.url) as center:
            await heard_by(one, center)
            await one.send(made)
            await one.receipts(1)
            await one.send(made)
            await one.receipts(2)
        one.hellos = 0
        async with receiver(folder, broker.url):
            await one.hello()
            await one.send(made, one.batch(["c"]))
            receipts = await one.receipts(4)
    assert ["committed", "repeat", "repeat", "committed"] == [receipt.outcome for receipt in receipts]
    assert {(made.head.name, made.digest)} == {(receipt.name, receipt.digest) for receipt in receipts[:3]}
    assert ["a", "b", "c"] == texts(folder)


async def test_each_refusal_has_its_receipt_its_bytes_and_its_line_in_the_ledger(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, sender(broker.url) as one:
        async with receiver(tmp_path / "sink", broker.url) as center:
            await heard_by(one, center)
            made = one.batch(["a"])
            await one.send(made, one.batch(["other bytes"], seq=1), one.batch(["x"], agent="other"))
            await one.send_bytes(b"no batch at all")
            await one.receipts(3)
            ledger = await center.until(lambda found: found["counts"].get("refused-undecodable"), "it is counted")
        said_of = {(receipt.outcome, receipt.reason) for receipt in one.got}
    assert {("committed", None), ("rejected", "conflict"), ("rejected", "not-relay")} == said_of
    assert ["conflict", "not-relay", "undecodable"] == sorted(reason for reason, _ in kept(tmp_path / "sink"))
    assert ["conflict", "not-relay", "undecodable"] == [entry["reason"] for entry in ledger["refused"]]
    assert ["a"] == texts(tmp_path / "sink")


async def test_the_ledger_tells_of_what_waits_of_what_was_declared_and_of_who_is_there(tmp_path):
    async with (
        mosquitto(tmp_path / "broker") as broker,
        sender(broker.url) as one,
        receiver(tmp_path / "sink", broker.url) as center,
    ):
        await heard_by(one, center)
        evicted = said(1, "evicted", eviction(one.epoch, 1, 3), epoch=one.epoch)
        await one.send(one.batch(["x"], seq=6), Made(evicted.head, evicted.head_bytes, evicted.body))
        await one.receipts(2)
        state = State(online=True, epoch=new_epoch(), connection=2, spans=(Span(one.epoch, 1, 5, 6),))
        await one.client.publish_acked(topics.state(one.root, one.site, one.agent), encode_state(state))
        ledger = await center.until(lambda found: not found["closed"], "the state is heard")
    (span,) = (span for span in ledger["spans"] if span["lane"] == "normal")
    assert (1, 1, 3, [[4, 4]]) == tuple(span[key] for key in ("arrived", "waiting", "declared", "missing"))
    assert ["online"] == [agent["state"] for agent in ledger["agents"]]


async def test_a_failing_sink_is_said_answers_later_and_loses_nothing(tmp_path, caplog):
    folder = tmp_path / "sink"
    folder.mkdir()
    (folder / "log").write_text("in the way")
    async with (
        mosquitto(tmp_path / "broker") as broker,
        sender(broker.url) as one,
        receiver(folder, broker.url) as center,
    ):
        await heard_by(one, center)
        made = one.batch(["a"])
        await one.send(made)
        assert [("later", "disk")] == [(receipt.outcome, receipt.reason) for receipt in await one.receipts(1)]
        assert (await center.ask())["problem"]
        (folder / "log").unlink()
        await one.send(made)
        assert "committed" == (await one.receipts(2))[1].outcome
        assert (await center.ask())["problem"] is None
    assert 1 == caplog.text.count("nothing is taken until this is mended")
    assert ["a"] == texts(folder)


async def test_a_broker_that_is_away_at_the_start_is_waited_for_and_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01, 0.02))
    caplog.set_level(logging.INFO)
    async with mosquitto(tmp_path / "broker") as broker:
        await broker.kill()
        async with receiver(tmp_path / "sink", broker.url):
            async with asyncio.timeout(SECONDS):
                while "nobody listens" not in caplog.text:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # some tries more
            warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
            await broker.start()
            async with sender(broker.url) as one:
                await heard_by(one, None)
                await one.send(one.batch(["a"]))
                await one.receipts(1)
    assert 1 == len(warnings)
