"""The receiving loop against a real broker: what is grouped, who may say what, and the order of commit, PUBACK, receipt."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
from parts.batches import HOP, make_head, make_payload
from parts.brokers import mosquitto
from parts.sender import sender

from wire import receive as module
from wire import topics
from wire.batch import Batch, encode_payload
from wire.client import MQTT_311, Broker, Disconnected, NotDelivered, connect, next_message
from wire.receive import Outcome, Receiver, Unread, receive
from wire.state import State, encode_state

pytestmark = pytest.mark.needs("mosquitto")
ME = topics.Up("hue", "gw-01", "log")


@dataclass
class Desk:
    """Keeps the groups that it is asked to commit; `gate` holds it back."""

    groups: list = field(default_factory=list)
    states: list = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        self.gate.set()

    async def commit(self, received):
        self.groups.append(list(received))
        self.asked.set()
        await self.gate.wait()
        return [
            Outcome("rejected", one.reason) if isinstance(one, Unread) else Outcome("committed") for one in received
        ]

    @property
    def received(self):
        return [one for group in self.groups for one in group]


@asynccontextmanager
async def receiving(url, desk, **options):
    """A receiver that listens; gives it and its task."""
    protocol = options.pop("protocol", 5)
    one = Receiver(
        root="edgepost", group="center", name="center", commit=desk.commit, hear=desk.states.extend, **options
    )
    ready = asyncio.Event()
    async with connect(Broker(url=url, user="center"), client_id="center-1", protocol=protocol) as client:
        task = asyncio.create_task(receive(client, one, ready=ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], timeout=15, return_when=asyncio.FIRST_COMPLETED)
        try:
            if task.done():
                await task
            yield one, task
        finally:
            waiting.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError, Disconnected, NotDelivered):
                await task


@asynccontextmanager
async def site(tmp_path, desk, **options):
    """Broker, receiver and one sender."""
    async with (
        mosquitto(tmp_path) as broker,
        receiving(broker.url, desk, **options) as (receiver, task),
        sender(broker.url) as one,
    ):
        yield receiver, task, one


# --- groups --------------------------------------------------------------------------------------------------------------


async def test_what_comes_within_the_time_is_one_group(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_SECONDS", 1.0)
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        await one.send(*[one.batch(["x"]) for _ in range(20)])
        await one.receipts(20)
    assert [20] == [len(group) for group in desk.groups]


async def test_a_group_ends_at_its_size_without_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_SECONDS", 60.0)
    monkeypatch.setattr(module, "GROUP_BYTES", 4000)
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        await one.send(*[one.batch(["x"]) for _ in range(20)])
        await one.receipts(10)
    assert all(len(group) < 12 for group in desk.groups)


async def test_messages_without_a_payload_fill_a_group_too(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROUP_SECONDS", 60.0)
    monkeypatch.setattr(module, "GROUP_BYTES", 128 * 10)
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        for _ in range(9):
            await one.send_bytes(b"")
        assert [] == desk.groups
        await one.send_bytes(b"")
        await asyncio.wait_for(desk.asked.wait(), 15)
    assert [10] == [len(group) for group in desk.groups]
    assert {"refused-undecodable": 10, "rejected": 10} == receiver.counts


def test_the_limits_are_100_ms_and_1_mib():
    assert (0.1, 1 << 20) == (module.GROUP_SECONDS, module.GROUP_BYTES)


# --- order ---------------------------------------------------------------------------------------------------------------


async def test_nothing_is_acknowledged_or_receipted_before_the_commit_holds(tmp_path):
    """The broker gives one message at a time, so the second comes only when the first is acknowledged."""
    desk = Desk()
    desk.gate.clear()
    async with (
        mosquitto(tmp_path, options=["max_inflight_messages 1"]) as broker,
        sender(broker.url) as one,
        receiving(broker.url, desk, protocol=MQTT_311),
    ):
        await one.send(one.batch(["first"]), one.batch(["second"]))
        await asyncio.wait_for(desk.asked.wait(), 15)
        await one.send_bytes(b"", topic="edgepost/v1/nobody")  # a turn of the broker
        assert (1, []) == (len(desk.received), one.got)
        desk.gate.set()
        await one.receipts(2)
    assert 2 == len(desk.received)


async def test_a_group_under_way_is_finished_and_receipted_when_the_receiver_stops(tmp_path):
    desk = Desk()
    desk.gate.clear()
    async with site(tmp_path, desk) as (_, task, one):
        made = one.batch(["x"])
        await one.send(made)
        await asyncio.wait_for(desk.asked.wait(), 15)
        task.cancel()
        await asyncio.sleep(0)
        assert [] == one.got
        desk.gate.set()
        (receipt,) = await one.receipts(1)
    assert (made.head.name, "committed") == (receipt.name, receipt.outcome)


async def test_more_receipts_than_a_message_may_hold_go_in_several(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_RECEIPTS", 3)
    monkeypatch.setattr(module, "GROUP_SECONDS", 1.0)
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        made = [one.batch(["x"]) for _ in range(8)]
        await one.send(*made)
        receipts = await one.receipts(8)
    assert [batch.head.name for batch in made] == [receipt.name for receipt in receipts]


# --- the proof of the subscription ---------------------------------------------------------------------------------------


async def test_a_receiver_writes_to_itself_before_it_is_ready(tmp_path):
    async with mosquitto(tmp_path) as broker, connect(Broker(url=broker.url), client_id="ear") as ear:
        await ear.hear("edgepost/v1/down/_probe/center")
        async with receiving(broker.url, Desk()):
            assert "edgepost/v1/down/_probe/center" == str((await next_message(ear)).topic)


async def test_a_receiver_whose_letter_does_not_come_back_does_not_claim_to_receive(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.2)
    acl = "user center\ntopic write edgepost/v1/down/#\ntopic read edgepost/v1/up/#\n"
    async with mosquitto(tmp_path, acl=acl) as broker:
        with pytest.raises((Disconnected, NotDelivered), match="probe"):
            async with receiving(broker.url, Desk()):
                pass


async def test_its_own_letter_is_no_refusal(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        await one.send_bytes(b"from somebody", topic=topics.probe("edgepost", "center"))
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert {"committed": 1} == receiver.counts


# --- who may say what ----------------------------------------------------------------------------------------------------


async def test_a_batch_of_another_agent_is_not_taken_from_who_is_no_relay(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        await one.send(one.batch(["x"], agent="other"))
        (receipt,) = await one.receipts(1)
    assert ("rejected", "not-relay") == (receipt.outcome, receipt.reason)
    (unread,) = desk.received
    assert ("not-relay", None) == (unread.reason, unread.agent)


async def test_a_listed_relay_carries_batches_of_others(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk, relays=frozenset({"gw-01"})) as (_, _, one):
        await one.send(one.batch(["x"], agent="other"))
        (receipt,) = await one.receipts(1)
    assert "committed" == receipt.outcome


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"site": "danang"}, "the site in the topic is hue, in the batch danang"),
        ({"stream": "host"}, "the stream in the topic is log, in the batch host"),
        ({"agent": "other"}, "gw-01 carries a batch of other and is no relay of ours"),
    ],
)
async def test_a_topic_must_tell_the_truth_about_its_batch_and_the_log_says_what_is_wrong(
    tmp_path, changes, said, caplog
):
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        await one.send(one.batch(["x"], **changes), topic=topics.up("edgepost", "hue", sender="gw-01", stream="log"))
        (receipt,) = await one.receipts(1)
    assert ("rejected", "not-relay") == (receipt.outcome, receipt.reason)
    assert [None if "agent" in changes else "gw-01"] == [unread.agent for unread in desk.received]
    assert said in caplog.text


async def test_batches_go_towards_the_center_only(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        made = one.batch(["x"])
        payload = encode_payload(replace(HOP, tier=0), digest=made.digest, head=made.head_bytes, body=made.body)
        await one.send_bytes(payload)
        (receipt,) = await one.receipts(1)
    assert ("later", "tier") == (receipt.outcome, receipt.reason)
    assert [] == desk.received


async def test_only_the_site_that_is_configured_is_heard(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk, site="hue") as (_, _, one):
        await one.send_bytes(b"x", topic=topics.up("edgepost", "danang", sender="gw-01", stream="log"))
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert [True] == [isinstance(received, Batch) for received in desk.received]


# --- what cannot be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bend", "outcome", "reason"),
    [
        (lambda made: make_payload(make_head(rows=100_001), body=made.body), "rejected", "limit"),
        (lambda made: make_payload(make_head(clock="x"), body=made.body), "rejected", "undecodable"),
        (
            lambda made: encode_payload(HOP, digest=bytes(16), head=made.head_bytes, body=made.body),
            "rejected",
            "digest",
        ),
    ],
)
async def test_what_has_a_name_is_receipted_after_its_bytes_are_kept(tmp_path, bend, outcome, reason):
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        payload = bend(one.batch(["x"]))
        await one.send_bytes(payload)
        (receipt,) = await one.receipts(1)
    (unread,) = desk.received
    assert (outcome, reason) == (receipt.outcome, receipt.reason)
    assert (payload, reason, "gw-01") == (unread.payload, unread.reason, unread.agent)
    assert 1 == receiver.counts[f"refused-{reason}"]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x95\x01", bytes((1 << 20) + 1)])
async def test_what_has_no_name_is_kept_and_gets_no_receipt(tmp_path, payload):
    desk = Desk()
    async with site(tmp_path, desk) as (_, _, one):
        await one.send_bytes(payload)
        await one.send(one.batch(["x"]))
        (receipt,) = await one.receipts(1)
    assert "committed" == receipt.outcome
    assert [payload] == [received.payload for received in desk.received if isinstance(received, Unread)]


async def test_a_topic_without_names_is_kept_and_counted(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        await one.send_bytes(b"x", topic="edgepost/v1/up/HUE/gw 01/log")
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert 1 == receiver.counts["refused-topic"]
    assert ["topic"] == [received.reason for received in desk.received if isinstance(received, Unread)]


async def test_a_flood_of_the_same_is_said_once(tmp_path, caplog):
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        for _ in range(50):
            await one.send_bytes(b"\xc1")
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert 50 == receiver.counts["refused-undecodable"]
    assert 1 == caplog.text.count("refused from")


async def test_topics_without_end_fill_no_journal(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "_MAX_TOLD", 3)
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        for number in range(9):
            await one.send_bytes(b"\xc1", topic=one.topic(f"s{number}"))
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert 9 == receiver.counts["refused-undecodable"]
    assert 3 == caplog.text.count("refused from")


# --- states --------------------------------------------------------------------------------------------------------------


async def test_a_state_is_heard_and_who_is_online_is_told_that_somebody_receives(tmp_path):
    desk = Desk()
    state = State(online=True, epoch=bytes(16), connection=1)
    async with mosquitto(tmp_path) as broker, sender(broker.url) as one:
        topic = topics.state("edgepost", "hue", "gw-01")
        await one.client.publish_acked(topic, encode_state(state), retain=True)
        async with receiving(broker.url, desk):
            await one.hello()
    assert [("hue", "gw-01", state)] == desk.states


async def test_a_state_that_somebody_has_cleared_is_nothing(tmp_path):
    desk = Desk()
    async with site(tmp_path, desk) as (receiver, _, one):
        await one.send_bytes(b"", topic=topics.state("edgepost", "hue", "gw-01"))
        await one.send(one.batch(["x"]))
        await one.receipts(1)
    assert ([], {"committed": 1}) == (desk.states, receiver.counts)


async def test_a_lost_connection_ends_the_loop(tmp_path):
    async with mosquitto(tmp_path) as broker, receiving(broker.url, Desk()) as (_, task):
        await broker.kill()
        await asyncio.wait([task], timeout=15)
        assert isinstance(task.exception(), Disconnected)
