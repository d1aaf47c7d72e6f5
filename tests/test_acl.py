"""`config/mosquitto/acl` on a real mosquitto: each agent under its own name, each receiver by name."""

import asyncio
from pathlib import Path

import pytest
from parts.brokers import mosquitto

from wire import topics
from wire.client import Broker, NotDelivered, connect, next_message
from wire.secret import Secret

ACL = Path(__file__).resolve().parents[1] / "config" / "mosquitto" / "acl"
PASSWORDS = {"gw-01": "a", "gw-02": "b", "center": "c"}
pytestmark = pytest.mark.needs("mosquitto", "mosquitto_passwd")


@pytest.fixture
async def as_user(tmp_path):
    """Give a way to connect as one of the users."""
    async with mosquitto(tmp_path, acl=ACL.read_text(encoding="utf-8"), passwords=PASSWORDS) as broker:

        def as_user(name: str):
            login = Broker(url=broker.url, user=name, password=Secret(PASSWORDS[name]))
            return connect(login, client_id=name)

        yield as_user


async def hears(client) -> bytes | None:
    try:
        async with asyncio.timeout(0.5):
            return bytes((await next_message(client)).payload)
    except TimeoutError:
        return None


OWN = topics.up("edgepost", "hue", sender="gw-01", stream="syslog")
OTHER = topics.up("edgepost", "hue", sender="gw-02", stream="syslog")


async def test_an_agent_publishes_under_its_own_name_and_the_receiver_hears_it(as_user):
    async with as_user("center") as center, as_user("gw-01") as agent:
        await center.hear(topics.all_up("edgepost"))
        await agent.publish_acked(OWN, b"rows")
        assert b"rows" == await hears(center)


@pytest.mark.parametrize("topic", [OTHER, topics.down("edgepost", "hue", sender="gw-01"), "edgepost/v1/up", "other/x"])
async def test_an_agent_cannot_publish_anywhere_else(as_user, topic):
    async with as_user("gw-01") as agent:
        with pytest.raises(NotDelivered) as caught:
            await agent.publish_acked(topic, b"rows")
        assert 0x87 == caught.value.code  # not authorized, MQTT 5 section 3.4.2.1


async def test_an_agent_hears_its_own_receipts_and_nobody_elses(as_user):
    async with as_user("center") as center, as_user("gw-01") as one, as_user("gw-02") as two:
        for client in (one, two):
            await client.hear("edgepost/v1/down/#")
        await center.publish_acked(topics.down("edgepost", "hue", sender="gw-01"), b"receipt")
        assert (b"receipt", None) == (await hears(one), await hears(two))


async def test_an_agent_reads_its_own_state_and_no_rows_of_others(as_user):
    async with as_user("gw-01") as one, as_user("gw-02") as two:
        await one.hear("edgepost/v1/up/#")
        await one.publish_acked(topics.state("edgepost", "hue", sender="gw-01"), b"state")
        assert b"state" == await hears(one)
        await two.publish_soon(OTHER, b"rows")
        assert await hears(one) is None


async def test_a_receiver_proves_its_own_subscription(as_user):
    async with as_user("center") as center:
        topic = topics.probe("edgepost", "center")
        await center.hear(topic)
        await center.publish_acked(topic, b"probe")
        assert b"probe" == await hears(center)
