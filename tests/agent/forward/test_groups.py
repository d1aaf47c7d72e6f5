"""Several groups that must confirm, on a real broker: each ends custody for itself, and each is named by what it says."""

from contextlib import AsyncExitStack

import pytest
from parts.brokers import mosquitto
from parts.forwarding import forwarding
from parts.receivers import commits, receiver

from wire.receipts import LATER, REFUSED, REJECTED, Receipt

pytestmark = pytest.mark.needs("mosquitto")
GROUPS = ("center", "archive")


def says(outcome, reason=None):
    return lambda _, batch: Receipt(batch.name, batch.digest, outcome, reason)


@pytest.fixture
async def broker(tmp_path):
    async with mosquitto(tmp_path / "broker") as running:
        yield running


async def test_what_one_group_rejects_the_other_still_gets_and_the_account_says_dropped(tmp_path, broker):
    async with AsyncExitStack() as stack:
        archive = await stack.enter_async_context(
            receiver(broker.url, group="archive", answer=says(REJECTED, "undecodable"))
        )
        one = await stack.enter_async_context(forwarding(tmp_path, broker, confirm=GROUPS))
        await one.put()
        await archive.until(lambda: archive.got)
        await one.put(10)
        await archive.until(lambda: len(archive.got) == 2)
        assert {"received": 4} == one.account()
        center = await stack.enter_async_context(receiver(broker.url, answer=commits))
        up, _ = archive.got[0]
        center.say(up)
        await center.until(lambda: len({batch.name for _, batch in center.got}) == 2)
        await one.ended(received=4, dropped__rejected_undecodable=4)


async def test_a_batch_that_each_group_refuses_once_is_not_parked(tmp_path, broker):
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(forwarding(tmp_path, broker, confirm=GROUPS))

        def once():
            seen = set()

            def answer(up, batch):
                is_first = batch.name not in seen
                seen.add(batch.name)
                return says(REFUSED, "digest")(up, batch) if is_first else commits(up, batch)

            return answer

        for group in GROUPS:
            await stack.enter_async_context(receiver(broker.url, group=group, answer=once()))
        await one.put()
        await one.ended(received=2, confirmed=2)
        assert {} == one.buffer.facts()["parked"]


async def test_a_group_that_answers_later_is_named_with_its_reason_and_a_remedy(tmp_path, broker):
    async with AsyncExitStack() as stack:
        for group, answer in (("center", commits), ("archive", says(LATER, "disk"))):
            await stack.enter_async_context(receiver(broker.url, group=group, answer=answer))
        one = await stack.enter_async_context(forwarding(tmp_path, broker, confirm=GROUPS))
        await one.put()
        said = await one.state("not delivering")
        assert "broker reachable, but archive answers later (disk)" == said["problem"]
        assert "df -h" in said["remedy"]
        assert {"archive": "disk"} == said["put_off"]


async def test_only_the_groups_that_have_not_confirmed_are_named(tmp_path, broker):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(receiver(broker.url, answer=commits))
        one = await stack.enter_async_context(forwarding(tmp_path, broker, confirm=GROUPS))
        await one.put()
        said = await one.state("not delivering")
        assert "no receipt from archive" in said["problem"]
        assert "center" not in said["problem"]
        assert {"received": 2} == one.account()
