"""A site under attack: a device goes on sending numbered lines, memory is watched, and what is refused must be counted.

    attacker ──► agent, broker, receiver          source ──lines──► agent ──► broker ──► receiver

    @lasting
    async def test_nothing_comes_of_it(tmp_path, seconds):
        async with besieged(tmp_path, "nothing") as siege:
            for draw in siege.rounds(seconds):
                ... attack ...
            held = await siege.lift()
        assert held.drops == {...}

`lift` ends the source and asserts what no attacker may change: nobody has ended, every line arrived in its place and
once, both ledgers agree, memory stayed in its bounds.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from parts.brokers import Running, mosquitto
from parts.reliability import Survived, record
from parts.site import AGENT, Site, site, until
from parts.source import Source, Verdict, judge, sending

RATE = 1000.0
ONE_ADDRESS = {"max_connections_per_peer": 0}  # everybody is 127.0.0.1 here: the limit of a listener is what is tried
MIB = 1 << 20
SAMPLE_SECONDS = 0.1

lasting = pytest.mark.parametrize(
    "seconds", [pytest.param(1.0, id="short"), pytest.param(60.0, id="a minute", marks=pytest.mark.soak)]
)
"""How long an attack lasts: moments in `make test`, a minute in `make soak`."""


@dataclass(frozen=True)
class Bounds:
    """By how much the memory (PSS) of each process may grow during an attack, in MiB.

    Where they come from is said in `docs/reliability.md`, section "Hostile peers".
    """

    agent_mib: int = 96
    receiver_mib: int = 96


@dataclass(frozen=True)
class Held:
    """What a site says after an attack.

    Attributes:
        account: of the agent, rows of syslog by what became of them.
        counts: of the receiver, by its words for them.
        drops: what the syslog collector counted, by reason.
        forward: of `edgepost status`.
        strange: messages in the sink that are none of the source's.
        grown_mib: by how much each process has grown at most.
    """

    account: dict[str, int]
    counts: dict[str, int]
    drops: dict[str, int]
    forward: dict[str, Any]
    strange: list[str]
    grown_mib: dict[str, float]


@dataclass
class Siege:
    """A site, its broker, and the device that must not notice anything."""

    one: Site
    broker: Running
    source: Source
    attack: str
    bounds: Bounds
    pids: tuple[int, int]
    base: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    _sending: AsyncExitStack = field(default_factory=AsyncExitStack)

    def rounds(self, seconds: float) -> Iterator[random.Random]:
        """Go round for so long, at least once, each time with the same source of chance."""
        draw, until_seconds = random.Random(17), time.monotonic() + seconds
        while True:
            yield draw
            if time.monotonic() >= until_seconds:
                return

    async def goes_on(self, lines: int = int(RATE / 5)) -> None:
        """Wait until so many lines that are sent from now on are confirmed by the receiver."""
        log = self.one.log
        before = self.source.sent
        await until(lambda: self.source.sent > before + lines, seconds=30, what="lines are sent", log=log)
        taken = self.source.sent
        await until(
            lambda: self.one.account().get("confirmed", 0) >= taken, seconds=60, what="lines are confirmed", log=log
        )

    async def watch(self) -> None:
        """Measure memory until cancelled."""
        while True:
            for name, pid in zip(("agent", "receiver"), self.pids, strict=True):
                with suppress(OSError):
                    self.peak[name] = max(self.peak.get(name, 0), pss_bytes(pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def lift(self) -> Held:
        """End the attack and hold the site to its promises."""
        await self.goes_on()
        await self._sending.aclose()
        account = await self.one.drained()
        rows, ledger = self.one.rows(), self.one.ledger()
        found = judge(self.source, rows)
        status = self.one.status_or_none()
        assert status is not None, self.one.log()
        grown = {name: (peak - self.base[name]) / MIB for name, peak in self.peak.items()}
        print(f"grown: {grown}, counts: {ledger['counts']}, drops: {status['collectors'][0]['drops']}")
        self._record(found, account, len(rows), missing=[one for one in ledger["spans"] if one["missing"]])
        assert (self.one.agent.pid, self.one.receiver.pid) == self.pids
        assert self.one.agent.is_running, self.one.log()
        assert self.one.receiver.is_running, self.one.log()
        assert (len(self.source.of), found.lost_by, found.twice, found.out_of_place) == (1, {}, [], [])
        ours = [one for one in ledger["rows"] if (one["agent"], one["stream"]) == (AGENT, "syslog")]
        assert account == {"received": len(rows), "confirmed": len(rows)}
        assert [len(rows)] == [one["committed"] for one in ours]
        assert not [span for span in ledger["spans"] if span["agent"] == AGENT and span["missing"]]
        assert grown["agent"] < self.bounds.agent_mib
        assert grown["receiver"] < self.bounds.receiver_mib
        return Held(
            account, ledger["counts"], status["collectors"][0]["drops"], status["forward"], found.strange, grown
        )

    def _record(self, found: Verdict, account: dict[str, int], committed: int, *, missing: list[Any]) -> None:
        numbers = (found.sent, found.delivered, len(found.twice), found.lost)
        said = "missing" if any(one["agent"] == AGENT for one in missing) else "closed"
        record(Survived(f"hostile: {self.attack}", 1, *numbers, account, committed, said))


def pss_bytes(pid: int) -> int:
    """Memory of a process, shared pages by their part (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@asynccontextmanager
async def besieged(
    folder: Path, attack: str, *, acl: str | None = None, options: Iterable[str] = (), bounds: Bounds | None = None
) -> AsyncIterator[Siege]:
    """Give a site at work, before whatever the test does to it.

    Args:
        folder: for everything that it writes.
        attack: its name in the table of faults.
        acl: of mosquitto.
        options: further lines of mosquitto.conf.
        bounds: on memory.
    """
    async with (
        mosquitto(folder / "broker", acl=acl, options=options) as broker,
        site(folder / "site", broker, listener=ONE_ADDRESS) as one,
        AsyncExitStack() as stack,
    ):
        source = await stack.enter_async_context(sending(one.port, rate=RATE))
        pids = one.agent.pid, one.receiver.pid
        siege = Siege(one, broker, source, attack, bounds or Bounds(), pids, _sending=stack)
        await siege.goes_on()
        siege.base = {name: pss_bytes(pid) for name, pid in zip(("agent", "receiver"), siege.pids, strict=True)}
        watching = asyncio.create_task(siege.watch(), name="memory")
        try:
            yield siege
        finally:
            watching.cancel()
            await asyncio.wait([watching])
