"""A backlog from before `site` or `agent` was changed: nothing of it is lost, and what cannot leave is said."""

from contextlib import AsyncExitStack

import pytest
from parts.brokers import mosquitto
from parts.forwarding import forwarding
from parts.receivers import commits, receiver

from agent.health import find_problems
from wire.receipts import COMMITTED, REJECTED, Receipt
from wire.topics import Up

pytestmark = pytest.mark.needs("mosquitto")
ACL = """
user center
topic readwrite #
pattern write edgepost/v1/up/+/%u/#
pattern read edgepost/v1/up/+/%u/state
pattern read edgepost/v1/down/+/%u
"""


def strict(*relays):
    """A receiver's rule: the topic tells the truth about the batch, and only a listed relay carries another's."""

    def answer(up, batch):
        is_honest = (up.site, up.stream) == (batch.head.site, batch.head.stream)
        if is_honest and (up.sender == batch.head.agent or up.sender in relays):
            return Receipt(batch.name, batch.digest, COMMITTED)
        return Receipt(batch.name, batch.digest, REJECTED, "not-relay")

    return answer


@pytest.fixture
async def broker(tmp_path):
    async with mosquitto(tmp_path / "broker", acl=ACL) as running:
        yield running


async def backlog(tmp_path, broker, batches=5):
    async with forwarding(tmp_path, broker) as one:
        return [(await one.put(10 * number))[0].name for number in range(batches)]


async def test_after_a_change_of_site_the_backlog_leaves_under_the_site_in_its_heads(tmp_path, broker):
    old = await backlog(tmp_path, broker)
    async with receiver(broker.url, answer=strict()) as center, forwarding(tmp_path, broker, site="hue") as one:
        new = [(await one.put(100))[0].name]
        await one.ended(received=12, confirmed=12)
        assert [("lab", name) for name in old] == [(up.site, b.name) for up, b in center.got if up.site == "lab"]
        assert [("hue", name) for name in new] == [(up.site, b.name) for up, b in center.got if up.site == "hue"]


async def test_a_site_that_nobody_hears_any_more_is_held_back_and_stops_nobody_else(tmp_path, broker, monkeypatch):
    monkeypatch.setattr("agent.forward.trials.TRIAL_SECONDS", 1.0)
    await backlog(tmp_path, broker)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(receiver(broker.url, site="hue"))
        one = await stack.enter_async_context(forwarding(tmp_path, broker, site="hue"))
        await one.put(100)
        await one.until(lambda: one.account() == {"received": 12, "confirmed": 2})
        (held,) = await one.until(lambda: one.forward.facts()["held_back"])
        assert ("gw-1", "lab", "no receipt from center") == (held["agent"], held["site"], held["reason"])
        assert "connected" == one.forward.facts()["state"]
        (problem,) = [each for each in find_problems({"forward": one.forward.facts()}, {}) if "lab" in each["what"]]
        assert "site lab" in problem["remedy"]
        other = await stack.enter_async_context(receiver(broker.url, site="lab"))
        try_again(one)
        await one.ended(received=12, confirmed=12)
        assert 5 == len({batch.name for _, batch in other.got})


async def test_after_a_change_of_agent_one_batch_is_tried_and_the_others_wait_until_the_receiver_lists_us(
    tmp_path, broker
):
    old = await backlog(tmp_path, broker)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(forwarding(tmp_path, broker, agent="gw-2"))
        async with receiver(broker.url, answer=strict()) as center:
            await one.put(100)
            (held,) = await one.until(lambda: one.forward.facts()["held_back"])
            await one.until(lambda: one.account().get("confirmed") == 2)
            assert ["gw-1"] == [batch.head.agent for _, batch in center.got if batch.name in old]
            assert "not-relay" in held["reason"]
            assert "add gw-2 to the receiver's `relays`" in held["remedy"]
            assert {"received": 12, "confirmed": 2} == one.account()
            assert "connected" == one.forward.facts()["state"]
        center = await stack.enter_async_context(receiver(broker.url, answer=strict("gw-2")))
        await one.until(lambda: one.account() == {"received": 12, "confirmed": 12})
        assert old == [batch.name for _, batch in center.got]
        assert [] == one.forward.facts()["held_back"]


async def test_the_state_tells_of_our_own_epochs_only(tmp_path, broker):
    """Else the center would take what the old name has delivered for missing under the new one."""
    await backlog(tmp_path, broker)
    async with forwarding(tmp_path, broker, agent="gw-2") as one:
        (held,) = await one.put(100)
        assert [(held.name.epoch, 1, 1, 1)] == [tuple(span) for span in await one.buffer.spans()]


async def test_a_denied_topic_holds_its_origin_back_and_not_our_own_batches(tmp_path):
    acl = "user center\ntopic readwrite #\nuser gw-1\ntopic readwrite edgepost/v1/+/hue/gw-1/#\n"
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(tmp_path / "broker", acl=acl))
        await backlog(tmp_path, broker, batches=2)
        await stack.enter_async_context(receiver(broker.url, answer=commits))
        one = await stack.enter_async_context(forwarding(tmp_path, broker, site="hue"))
        await one.put(100)
        (held,) = await one.until(lambda: one.forward.facts()["held_back"])
        assert "broker" in held["reason"] or "receipts" in held["reason"]
        await one.until(lambda: one.account() == {"received": 6, "confirmed": 2})


async def test_our_own_batches_are_kept_when_a_receiver_says_not_relay(tmp_path, broker):
    """A bridge that changes topics is a mistake in the settings: it must not cost a row."""
    is_mended = False

    def answer(up, batch):
        return commits(up, batch) if is_mended else Receipt(batch.name, batch.digest, REJECTED, "not-relay")

    async with receiver(broker.url, answer=answer) as center, forwarding(tmp_path, broker) as one:
        for number in range(5):
            await one.put(10 * number)
        said = await one.state("refused")
        assert {"received": 10} == one.account()
        assert "not-relay" in said["problem"]
        assert "bridge" in said["remedy"]
        origins = one.forward.sender.origins
        again_at = origins.held_back[origins.ours].again_at
        one.forward._carry._state_due.set()  # as each minute: what greets our state has not been started anew
        await center.until(lambda: center.states == 2)
        await one.until(lambda: not one.forward._carry._asked)  # it has been greeted
        assert again_at == origins.held_back[origins.ours].again_at
        await one.put(100)
        is_mended = True
        center.say(Up("lab", "gw-1", "log"))
        await one.ended(received=12, confirmed=12)


def try_again(one):
    one.forward.sender.origins.greeted(0.0)
    one.forward.sender.wake.set()
