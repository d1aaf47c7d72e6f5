"""One connection to a real broker: reason codes, acknowledgements, limits, and what ends it."""

import asyncio

import pytest
from parts.brokers import amqtt, mosquitto, nats

from wire.client import (
    MQTT_5,
    MQTT_311,
    NO_SUBSCRIBERS,
    Broker,
    ConnectFailed,
    Disconnected,
    NotDelivered,
    connect,
    next_message,
    waiting_message,
)
from wire.connection import HELD_BACK, INCOMING_BYTES, WAITING_BYTES

ACL = "user gw\ntopic readwrite allowed/#\ntopic read denied/#\n"


@pytest.fixture
async def broker(tmp_path):
    async with mosquitto(tmp_path / "broker") as running:
        yield running


def link(running, name="gw", **options):
    return connect(Broker(url=running.url, user=name), client_id=f"{name}-1", **options)


async def test_a_puback_says_whether_anybody_listens(broker):
    async with link(broker) as client:
        assert NO_SUBSCRIBERS == await client.publish_acked("a/b", b"1")
        await client.hear("a/b")
        assert 0 == await client.publish_acked("a/b", b"2")
        assert b"2" == (await next_message(client)).payload


async def test_under_mqtt_311_a_puback_says_nothing(broker):
    async with link(broker, protocol=MQTT_311) as client:
        assert 0 == await client.publish_acked("a/b", b"1")


async def test_a_denied_publish_is_an_error_under_mqtt_5_and_silent_under_311(tmp_path):
    async with mosquitto(tmp_path, acl=ACL) as running:
        async with link(running) as client:
            with pytest.raises(NotDelivered) as caught:
                await client.publish_acked("denied/a", b"1")
            assert 0x87 == caught.value.code
            assert not client.is_lost
            assert NO_SUBSCRIBERS == await client.publish_acked("allowed/a", b"1")
        async with link(running, protocol=MQTT_311) as client:
            assert 0 == await client.publish_acked("denied/a", b"1")


async def test_a_message_that_is_not_acknowledged_is_not_the_brokers_to_forget(tmp_path):
    limit = ["max_inflight_messages 2"]
    async with mosquitto(tmp_path, options=limit) as running, link(running, protocol=MQTT_311) as client:
        await client.hear("a")
        for number in range(5):
            await client.publish_acked("a", bytes([number]))
        first = [await next_message(client), await next_message(client)]
        await client.publish_acked("b", b"a turn of the broker")
        assert waiting_message(client) is None
        for message in first:
            client.ack(message)
        assert [b"\2", b"\3"] == [(await next_message(client)).payload for _ in range(2)]


async def test_publishes_beyond_receive_maximum_wait_and_all_get_their_puback(tmp_path):
    async with mosquitto(tmp_path, options=["max_inflight_messages 3"]) as running, link(running) as client:
        assert 3 == client.receive_maximum
        pubacks = [client.publish_soon("a", b"x") for _ in range(500)]
        assert 500 == client.in_flight
        assert {NO_SUBSCRIBERS} == set(await asyncio.gather(*pubacks))
        assert 0 == client.in_flight


async def test_more_than_can_wait_is_refused_at_once(broker):
    async with link(broker) as client:
        pubacks = [client.publish_soon("a", b"") for _ in range(client.receive_maximum + HELD_BACK + 1)]
        with pytest.raises(NotDelivered, match="Receive Maximum"):
            await pubacks[-1]


async def test_a_payload_above_the_brokers_maximum_packet_size_is_not_sent(tmp_path):
    async with mosquitto(tmp_path, options=["max_packet_size 2000"]) as running, link(running) as client:
        assert 2000 == client.maximum_packet_bytes
        assert not client.fits(2000)
        with pytest.raises(NotDelivered, match="Maximum Packet Size"):
            await client.publish_acked("a", bytes(2000))
        assert NO_SUBSCRIBERS == await client.publish_acked("a", bytes(1000))


async def test_a_puback_that_does_not_come_ends_the_connection(broker):
    async with link(broker) as client:
        broker.pause()
        try:
            other = client.publish_soon("a", b"1")
            with pytest.raises(NotDelivered, match=r"no PUBACK within 0\.2 s"):
                await client.publish_acked("a", b"2", timeout=0.2)
            with pytest.raises(NotDelivered):
                await other
            assert client.is_lost
        finally:
            broker.resume()


async def test_a_cancellation_that_meets_the_answer_to_a_subscription_still_ends_the_task(broker):
    async with link(broker) as client:
        hearing = asyncio.create_task(client.hear("a"))
        while not client._pending_subscribes:
            await asyncio.sleep(0)
        next(iter(client._pending_subscribes.values())).set_result([0])
        hearing.cancel()
        await asyncio.wait([hearing])
        assert hearing.cancelled()


async def test_a_frozen_broker_whose_socket_is_full_leaves_no_descriptor_behind(broker):
    """The next socket gets the same number; what was registered for the old one must be gone."""
    async with link(broker) as client:
        broker.pause()
        for _ in range(100):
            client.publish_soon("a", bytes(1 << 20))
        await asyncio.sleep(0)
        client.drop()
        broker.resume()
    async with link(broker) as client:
        assert NO_SUBSCRIBERS == await client.publish_acked("a", b"1")


async def test_the_end_of_the_broker_ends_every_wait_on_the_connection(broker):
    async with link(broker) as client:
        waiting = asyncio.create_task(next_message(client))
        broker.pause()
        puback = client.publish_soon("a", b"1")
        hearing = asyncio.create_task(client.hear("a"))
        await asyncio.sleep(0)
        await broker.kill()
        for end in (waiting, hearing):
            with pytest.raises(Disconnected):
                await end
        with pytest.raises(NotDelivered):
            await puback
        await client.wait_lost()
        assert client.why_lost
        with pytest.raises(NotDelivered):
            await client.publish_acked("a", b"1")


async def test_a_subscription_that_is_refused_is_an_error(tmp_path):
    async with nats(tmp_path / "nats", config=NATS_RIGHTS) as running:
        broker = Broker(url=running.url, user="gw", password=None)
        async with connect(broker, client_id="gw-1", protocol=MQTT_311) as client:
            with pytest.raises(NotDelivered):
                await client.hear("denied/a")


NATS_RIGHTS = """
authorization { users = [ { user: gw, password: "", permissions: { subscribe: { deny: "denied.>" } } } ] }
"""


async def test_the_will_is_published_when_the_connection_is_cut_and_not_when_it_is_left(broker):
    async with link(broker, "watcher") as watcher:
        await watcher.hear("will/#")
        async with link(broker, "left", will=("will/left", b"gone")):
            pass
        async with link(broker, "cut", will=("will/cut", b"gone")) as client:
            client.drop()
        message = await next_message(watcher)
        assert ("will/cut", b"gone") == (str(message.topic), message.payload)


async def test_what_was_published_before_leaving_is_still_sent(broker):
    async with link(broker, "watcher") as watcher:
        await watcher.hear("last")
        async with link(broker) as client:
            client.publish_soon("last", b"word")
        assert b"word" == (await next_message(watcher)).payload


async def test_a_reader_that_does_not_take_its_messages_is_bounded_in_bytes(broker):
    size = 1 << 20
    async with link(broker, "slow") as slow, link(broker, "fast") as fast:
        await slow.hear("a")
        number = 3 * WAITING_BYTES // size
        await asyncio.gather(*(fast.publish_soon("a", bytes(size)) for _ in range(number)))
        while not slow._is_paused:
            await asyncio.sleep(0.01)
        assert slow._waiting_bytes <= WAITING_BYTES + size
        for _ in range(number):
            slow.ack(await next_message(slow))
        assert 0 == slow._waiting_bytes


@pytest.mark.parametrize("qos", [0, 1])
async def test_of_a_packet_far_above_our_limit_the_beginning_is_given_and_the_next_one_whole(broker, qos):
    async with link(broker, "small") as small, link(broker, "large") as large:
        await small.hear("a")
        for number in range(3):
            await large.publish("a", b"x" * (16 * INCOMING_BYTES), qos=qos)
            await large.publish_acked("a", b"%d" % number)
        for number in range(3):
            cut, whole = await next_message(small), await next_message(small)
            assert INCOMING_BYTES < len(cut.payload) < 8 * INCOMING_BYTES
            assert b"%d" % number == whole.payload
            small.ack(cut)
            small.ack(whole)


async def test_message_identifiers_go_round(broker):
    """They are 16 bits and meet none that is in flight."""
    async with link(broker) as client:
        for _ in range(70):
            await asyncio.gather(*(client.publish_soon("a", b"x") for _ in range(1000)))
        assert 0 == client.in_flight
        assert not client._client._out_messages


@pytest.mark.parametrize("make", [nats, amqtt])
async def test_a_broker_of_311_only_says_so_and_is_spoken_to_so(tmp_path, make):
    async with make(tmp_path / "broker") as running:
        with pytest.raises(ConnectFailed) as caught:
            async with link(running, protocol=MQTT_5):
                pass
        assert caught.value.is_old_broker
        async with link(running, protocol=MQTT_311) as client:
            await client.hear("a/b")
            assert 0 == await client.publish_acked("a/b", b"1")
            message = await next_message(client)
            client.ack(message)
            assert b"1" == message.payload


async def test_a_connection_leaves_no_task_behind(broker):
    before = asyncio.all_tasks()
    async with link(broker) as client:
        await client.publish_acked("a", b"1")
    await asyncio.sleep(0)
    assert before == asyncio.all_tasks()
