"""A killed agent says so once: between which times it is unknown what it took, in the sink and in the center's ledger."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest
from parts.brokers import mosquitto
from parts.site import AGENT, Site, environment, site, until
from parts.source import sending

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(120)]


def stops(one: Site) -> list[dict]:
    return [row for row in one.rows("agent") if row["event"] == "unclean-stop"]


async def lives(one: Site) -> None:
    """Let it take some lines and confirm them."""
    async with sending(one.port, rate=500) as source:
        await until(lambda: source.sent >= 200, seconds=20, what="lines are sent", log=one.log)
    await one.drained()


async def starts(one: Site, number: int) -> None:
    """Start the agent and wait until its word of the start has arrived, and all else that it had to say."""
    await one.start_agent()
    await until(lambda: starts_told(one) >= number, seconds=20, what="the start is told", log=one.log)
    await one.drained()


def starts_told(one: Site) -> int:
    return sum(row["event"] == "started" for row in one.rows("agent"))


async def test_each_kill_is_told_once_and_shown_in_the_ledger_and_a_clean_stop_is_not(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        await lives(one)
        assert [] == stops(one)
        for kills in (1, 2):
            await one.agent.kill()
            await starts(one, 1 + kills)
            assert kills == len(stops(one))
        assert 0 == await one.agent.end(signal.SIGTERM)
        await starts(one, 4)
        told, ledger = stops(one), one.ledger()
        shown = await asyncio.to_thread(show_ledger, one)
    assert 2 == len(told)
    assert [AGENT, AGENT] == [stop["agent"] for stop in ledger["stops"]]
    assert [row["detail"] for row in told] == [
        {key: stop[key] for key in ("first_ns", "last_ns")} for stop in ledger["stops"]
    ]
    assert all(stop["first_ns"] < stop["last_ns"] for stop in ledger["stops"])
    assert ledger["closed"]
    assert "UNCLEAN STOPS: 2" in shown


async def test_a_kill_before_the_word_of_the_last_one_was_committed_leaves_no_gap_untold(tmp_path):
    """The second agent is killed at once, whether it has committed its word by then or not."""
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        await lives(one)
        killed_ns = time.time_ns()
        await one.agent.kill()
        one.agent.start()
        await until(lambda: "started" in one.agent.tail(), seconds=20, what="it has opened its store", log=one.log)
        await one.agent.kill()
        await one.start_agent()
        await until(lambda: stops(one), seconds=20, what="the stop is told", log=one.log)
        await one.drained()
        told = [row["detail"]["first_ns"] for row in stops(one)]
    assert min(told) <= killed_ns, "from the first kill on"
    assert len(told) == len(set(told)), "each gap once"


def show_ledger(one: Site) -> str:
    command = [sys.executable, "-m", "center.cli", "ledger", str(one.sink_dir)]
    done = subprocess.run(command, env=environment(), cwd=one.folder, capture_output=True, text=True, timeout=30)
    return done.stdout
