"""kill -9 of agent, receiver and broker, in turn and at random, while a device sends numbered lines over TCP.

What must hold at the end: every line that the agent had committed is in the sink, none is there twice, and both
ledgers say the same. Lines that were read but not committed when the agent was killed are lost, and known: they are
the end of what one connection carried, never a hole in it.
"""

import asyncio
import random
from pathlib import Path

import pytest
from parts.brokers import Running, mosquitto
from parts.reliability import Survived, record
from parts.site import Site, site, until
from parts.source import Source, judge, sending

RATE = 1000.0
LOST_SECONDS = 5.0  # a kill loses at most one commit interval (1 s while alone) and what was not read: generously

pytestmark = pytest.mark.needs("mosquitto")


class Killer:
    """Kills and starts again, and keeps what the store held at each of the agent's deaths."""

    def __init__(self, one: Site, broker: Running, source: Source, *, seed: int) -> None:
        self._site = one
        self._broker = broker
        self._source = source
        self._draw = random.Random(seed)
        self.committed: dict[int, int] = {}  # by the number of connections so far: rows committed up to that death

    async def round(self, victims: tuple[str, ...]) -> None:
        """Let it run for a moment, kill, wait for a moment, start again."""
        before = self._source.sent
        await until(lambda: self._source.sent > before, seconds=20, what="the source sends", log=self._site.log)
        await asyncio.sleep(self._draw.uniform(0.1, 1.2))
        for victim in victims:
            await self._kill(victim)
        await asyncio.sleep(self._draw.uniform(0.0, 0.7))
        for victim in victims:
            await self._start(victim)

    async def _kill(self, victim: str) -> None:
        if victim == "broker":
            await self._broker.kill()
        elif victim == "receiver":
            await self._site.receiver.kill()
        else:
            await self._site.agent.kill()
            self.committed[len(self._source.of)] = await asyncio.to_thread(self._site.committed_on_disk)

    async def _start(self, victim: str) -> None:
        if victim == "broker":
            await self._broker.start()
        elif victim == "receiver":
            await self._site.start_receiver()
        else:
            await self._site.start_agent()

    def draw(self, number: int) -> tuple[str, ...]:
        """Three rounds in turn, then at random, sometimes two or all at once."""
        in_turn = ("agent", "receiver", "broker")
        if number % 10 < 3:
            return (in_turn[number % 10],)
        return tuple(self._draw.sample(in_turn, self._draw.choice((1, 1, 1, 2, 3))))


async def survive(folder: Path, *, rounds: int, seed: int, name: str) -> None:
    async with mosquitto(folder / "broker") as broker, site(folder / "site", broker) as one:
        async with sending(one.port, rate=RATE) as source:
            killer = Killer(one, broker, source, seed=seed)
            for number in range(rounds):
                await killer.round(killer.draw(number))
        account = await one.drained()
        found = judge(source, one.rows())
        ledger = one.ledger()
        record(
            Survived(
                name,
                rounds,
                found.sent,
                found.delivered,
                len(found.twice),
                found.lost,
                account,
                one.committed_rows(),
                "closed" if ledger["closed"] else "missing",
            )
        )
        assert found.twice == []
        assert found.strange == []
        assert found.out_of_place == []
        assert account == {"received": found.delivered, "confirmed": found.delivered}
        assert one.committed_rows() == found.delivered
        assert ledger["closed"], ledger
        for connections, committed in killer.committed.items():
            sent = source.of[connections][1]
            lost = sum(lines for number, lines in found.lost_by.items() if number <= connections)
            assert committed == sent - lost, f"committed before a kill, by connection {connections}"
        assert max(found.lost_by.values(), default=0) < RATE * LOST_SECONDS
        assert set(found.lost_by) <= set(killer.committed), "lost without a kill of the agent"


@pytest.mark.timeout(240)
async def test_twenty_rounds_of_kills_lose_nothing_that_was_committed(tmp_path):
    await survive(tmp_path, rounds=20, seed=2, name="kill -9 of agent, receiver, broker, in turn and at random")


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
async def test_five_hundred_rounds_of_kills_lose_nothing_that_was_committed(tmp_path):
    await survive(tmp_path, rounds=500, seed=5, name="the same, 500 rounds")
