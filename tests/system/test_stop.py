"""SIGTERM under load: the agent ends within its grace time, and what it had read is at the center in the end."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from parts.brokers import mosquitto
from parts.reliability import Survived, record
from parts.site import Site, site, until
from parts.source import judge, sending

RATE = 4000.0
GRACE_SECONDS = 3.0
MARGIN_SECONDS = 3.0  # to end collectors, commit and close, on a busy machine

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(120)]


@asynccontextmanager
async def stopping_site(folder: Path) -> AsyncIterator[Site]:
    async with (
        mosquitto(folder / "broker") as broker,
        site(folder / "site", broker, stop_grace_seconds=GRACE_SECONDS) as one,
    ):
        yield one


@pytest.mark.parametrize("is_receiver_there", [True, False], ids=["receiver there", "receiver away"])
async def test_sigterm_under_load_ends_within_the_grace_time_and_loses_nothing(tmp_path, is_receiver_there):
    async with stopping_site(tmp_path) as one:
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent > 2 * RATE, seconds=20, what="lines are sent", log=one.log)
            if not is_receiver_there:
                await one.receiver.kill()
                before = source.sent
                await until(lambda: source.sent > before + RATE, seconds=20, what="lines wait", log=one.log)
            asked = time.monotonic()
            assert await one.agent.end(signal.SIGTERM) == 0, one.log()
            took = time.monotonic() - asked
            committed, cut = one.committed_on_disk(), source.of[len(source.of)][1]
            if not is_receiver_there:
                await one.start_receiver()
            await one.start_agent()
            after = source.sent
            await until(lambda: source.sent > after + RATE, seconds=20, what="lines go on", log=one.log)
        account = await one.drained()
        found, ledger = judge(source, one.rows()), one.ledger()
        fault = f"SIGTERM under load, receiver {'there' if is_receiver_there else 'away'}"
        said = "closed" if ledger["closed"] else "missing"
        numbers = (found.sent, found.delivered, len(found.twice), found.lost)
        record(Survived(fault, 1, *numbers, account, one.committed_rows(), said))
        assert took < GRACE_SECONDS + MARGIN_SECONDS
        assert (found.twice, found.out_of_place, found.strange) == ([], [], [])
        assert committed == cut - sum(found.lost_by.values()), "lost only what had not been read at the stop"
        assert account == {"received": found.delivered, "confirmed": found.delivered}
        assert one.committed_rows() == found.delivered
        assert ledger["closed"], ledger


async def test_every_line_that_was_sent_before_a_quiet_moment_survives_the_stop(tmp_path):
    """Here nothing is unread when SIGTERM comes, so not one line may be missing."""
    async with stopping_site(tmp_path) as one:
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent > RATE, seconds=20, what="lines are sent", log=one.log)
        assert await one.agent.end(signal.SIGTERM) == 0, one.log()
        await one.start_agent()
        account = await one.drained()
        assert judge(source, one.rows()).lost_by == {}
        assert account == {"received": source.sent, "confirmed": source.sent}
