"""Brokers that are away, refuse, have no subscriber, or forget: nothing may be lost, and the agent must say what is wrong."""

import asyncio
import os
import signal

import pytest
from parts.brokers import mosquitto
from parts.old_broker import only_311
from parts.site import site, until
from parts.source import sending
from parts.survival import ALLOWED, DENIED, RATE, close_account, forward_state, hand_over_acl, wait_for_state

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(180)]


async def test_a_broker_away_under_load_loses_nothing(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        async with sending(one.port, rate=2 * RATE) as source:
            await until(lambda: source.sent > RATE, seconds=20, what="lines leave")
            await broker.kill()
            await wait_for_state(one, "not connected")
            away = source.sent
            await until(lambda: source.sent > away + 8 * RATE, seconds=60, what="lines are taken without a broker")
            await broker.start()
            await wait_for_state(one, "connected")
        await close_account("broker away for seconds under load", one, source)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_denied_publish_keeps_every_row_and_is_said(tmp_path, protocol):
    folder = tmp_path / "broker"
    async with mosquitto(folder, acl=DENIED) as broker, only_311(broker.port) as door:
        url = broker.url if protocol == "5" else door
        async with site(tmp_path / "site", broker, broker_url=url) as one:
            async with sending(one.port, rate=RATE) as source:
                await until(lambda: source.sent > 2 * RATE, seconds=20, what="lines are sent")
            # MQTT 5 names the refusal; 3.1.1 has no word for it, only the missing receipt shows it.
            said = await wait_for_state(one, "refused" if protocol == "5" else "not delivering")
            assert said["protocol"] == protocol
            assert said["problem"]
            assert said["remedy"]
            await until(lambda: one.account() == {"received": source.sent}, seconds=20, what="all is held", log=one.log)
            assert one.rows() == []
            hand_over_acl(broker, folder, ALLOWED)
            await close_account(f"publish denied by the ACL, MQTT {protocol}", one, source)


async def test_a_broker_without_a_subscriber_keeps_every_row_here_and_is_said(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker, is_started=False) as one:
        await one.start_agent()
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent > 2 * RATE, seconds=20, what="lines are sent")
        said = await wait_for_state(one, "not delivering")
        assert "no subscriber" in said["problem"]
        await until(lambda: one.account() == {"received": source.sent}, seconds=20, what="all is held", log=one.log)
        await one.start_receiver()
        await close_account("no receiver: the broker has no subscriber", one, source)


async def test_a_broker_that_forgets_what_it_has_acknowledged_loses_nothing(tmp_path):
    """A frozen receiver lets the broker queue what it has PUBACKed; then the broker is killed and keeps nothing."""
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        async with sending(one.port, rate=RATE) as source:
            for _ in range(3):
                before = source.sent
                os.kill(one.receiver.pid, signal.SIGSTOP)
                try:
                    await until(
                        lambda: forward_state(one).get("unreceipted_batches", 0) > 3, seconds=20, what="PUBACKs arrive"
                    )
                    await broker.kill()
                    await asyncio.sleep(0.2)
                finally:
                    os.kill(one.receiver.pid, signal.SIGCONT)
                await broker.start()
                await wait_for_state(one, "connected")
                await until(lambda before=before: source.sent > before + RATE, seconds=20, what="lines go on")
        await close_account("broker forgets what it has acknowledged (kill -9, no persistence)", one, source, faults=3)
