"""The agent's store copied back from an earlier time: nothing is lost in silence, nothing stands in the sink twice."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from parts.brokers import mosquitto
from parts.reliability import Survived, record
from parts.site import Site, copy_store, site, until
from parts.source import judge, sending
from parts.survival import ALLOWED, DENIED, RATE, hand_over_acl

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(180)]


async def send_some(one: Site, source_lines: int = 1500) -> tuple[int, ...]:
    """Send lines to the running agent; they bear numbers from 1 on, told apart by the run."""
    async with sending(one.port, rate=RATE) as source:
        await until(lambda: source.sent >= source_lines, seconds=20, what="lines are sent", log=one.log)
    await until(
        lambda: one.account().get("received", 0) >= source.sent, seconds=20, what="lines are committed", log=one.log
    )
    return (source.sent,)


def copy_back(backup: Path, state_dir: Path) -> None:
    shutil.rmtree(state_dir)
    copy_store(backup, state_dir)


async def test_what_was_confirmed_after_the_copy_is_neither_lost_nor_sent_twice(tmp_path):
    """The copy is made from under the running agent, while batches are held: they will be sent again after it."""
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker) as one:
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent >= RATE, seconds=20, what="lines are sent")
            await one.receiver.end(signal.SIGTERM)
            before = one.account()["received"]
            await until(lambda: one.account()["received"] > before + RATE, seconds=20, what="lines wait")
            await asyncio.to_thread(copy_store, one.state_dir, tmp_path / "backup")
            await one.start_receiver()
            await until(lambda: source.sent >= 5 * RATE, seconds=20, what="lines are sent after the copy")
        await one.drained()
        assert await one.agent.end(signal.SIGTERM) == 0
        copy_back(tmp_path / "backup", one.state_dir)
        await one.start_agent()
        async with sending(one.port, rate=RATE) as later:
            await until(lambda: later.sent >= RATE, seconds=20, what="lines are sent after the restore")
        account = await one.drained()
        rows, ledger = one.rows(), one.ledger()
        first, second = rows[: source.sent], rows[source.sent :]
        found, found_later = judge(source, first), judge(later, second)
        committed = one.committed_rows()
        record(
            Survived(
                "store copied back, what came after the copy had been delivered",
                1,
                source.sent + later.sent,
                found.delivered + found_later.delivered,
                len(found.twice) + len(found_later.twice),
                found.lost + found_later.lost,
                account,
                committed,
                "closed" if ledger["closed"] else "missing",
            )
        )
        assert (found.lost_by, found.twice, found.strange) == ({}, [], [])
        assert (found_later.lost_by, found_later.twice, found_later.strange) == ({}, [], [])
        assert committed == source.sent + later.sent
        assert ledger["closed"], ledger


async def test_what_only_the_lost_store_held_stands_in_the_ledger_as_missing(tmp_path):
    """Rows are committed and told of, but never delivered; then the store is an older one, and they are gone."""
    folder = tmp_path / "broker"
    options = {"stop_grace_seconds": 1.0}
    async with mosquitto(folder, acl=ALLOWED) as broker, site(tmp_path / "site", broker, **options) as one:
        await send_some(one)
        await one.drained()
        assert await one.agent.end(signal.SIGTERM) == 0
        copy_store(one.state_dir, tmp_path / "backup")

        hand_over_acl(broker, folder, DENIED)
        await one.start_agent()
        (gone,) = await send_some(one)
        assert await one.agent.end(signal.SIGTERM) == 0
        waiting = sum(span["waiting"] for span in one.ledger()["spans"])
        assert waiting > 0, "the center knows what the agent holds"

        copy_back(tmp_path / "backup", one.state_dir)
        hand_over_acl(broker, folder, ALLOWED)
        await one.start_agent()
        (kept,) = await send_some(one)
        account = await one.drained()
        ledger = one.ledger()
        record(
            Survived(
                "store copied back, what came after the copy was held there alone",
                1,
                gone + 2 * kept,
                len(one.rows()),
                0,
                gone,
                account,
                one.committed_rows(),
                "closed" if ledger["closed"] else "missing, named",
            )
        )
        missing = sum(last - first + 1 for span in ledger["spans"] for first, last in span["missing"])
        assert not ledger["closed"], ledger
        assert missing == waiting
