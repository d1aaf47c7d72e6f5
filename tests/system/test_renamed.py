"""`site` or `agent` is changed while rows wait: all of them arrive, under the names they were taken with."""

import json
import signal

import pytest
from parts.brokers import mosquitto
from parts.site import AGENT, SITE, Site, site, until
from parts.source import judge, sending

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(120)]
LINES = 2000


def change(one: Site, file: str, **settings: object) -> None:
    path = one.folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


async def backlog(one: Site):
    """Let lines arrive while there is no receiver, then end the agent."""
    await one.start_agent()
    async with sending(one.port, rate=LINES) as source:
        await until(lambda: source.sent > LINES, seconds=20, what="lines are sent")
    await until(lambda: one.account() == {"received": source.sent}, seconds=20, what="all is held", log=one.log)
    assert 0 == await one.agent.end(signal.SIGTERM)
    return source


def assert_arrived(one: Site, source, *, agent: str) -> None:
    found = judge(source, one.rows())
    assert (source.sent, [], {}) == (found.delivered, found.twice, found.lost_by)
    assert {(agent, SITE)} == {(row["agent"], row["site"]) for row in one.rows()}
    assert one.ledger()["closed"]


async def test_the_backlog_from_before_a_change_of_site_arrives_under_its_own_site(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker, is_started=False) as one:
        source = await backlog(one)
        change(one, "agent.yaml", site="hue")
        await one.start_receiver()
        await one.start_agent()
        assert {"received": source.sent, "confirmed": source.sent} == await one.drained()
        assert_arrived(one, source, agent=AGENT)


async def test_the_backlog_of_another_name_waits_said_with_its_remedy_until_the_receiver_lists_the_new_one(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker, is_started=False) as one:
        source = await backlog(one)
        change(one, "agent.yaml", agent="edge-2")
        await one.start_receiver()
        await one.start_agent()

        def told():
            status = one.status_or_none() or {"problems": []}
            return [problem for problem in status["problems"] if f"Batches of {AGENT} at {SITE}" in problem["what"]]

        (problem,) = await until(told, seconds=30, what="the backlog is told", log=one.log)
        assert "add edge-2 to the receiver's `relays`" in problem["remedy"]
        assert {"received": source.sent} == one.account()
        assert 0 == await one.receiver.end(signal.SIGTERM)
        change(one, "center.yaml", relays=["edge-2"])
        await one.start_receiver()
        await until(lambda: one.account().get("confirmed") == source.sent, seconds=30, what="all left", log=one.log)
        await one.drained()
        assert_arrived(one, source, agent=AGENT)
        assert not told()
