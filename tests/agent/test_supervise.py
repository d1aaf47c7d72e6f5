"""A collector that fails starts again, is counted, and its silence is told to the center."""

import asyncio
import time

import pytest
from parts.agents import parts

from agent import supervise
from agent.report import Silence
from agent.supervise import Supervisor
from collectors.sink import Lane
from collectors.syslog.rows import SYSLOG


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(supervise, "BACKOFF_SECONDS", (0.01, 0.01))


def syslog_row() -> tuple:
    return (1, 2, "192.0.2.1", 514, "udp", None, 1, 6, *(None,) * 5, "x", "rfc3164", None, None, None)


async def test_a_failure_is_counted_and_told_with_the_times_between_which_intake_is_unknown(tmp_path):
    async with parts(tmp_path) as agent:
        tap = agent.intake.subscribe("agent")
        sink = agent.intake.sink("cameras")
        seen: list[int] = []
        runs = asyncio.Event()

        async def collect() -> None:
            if seen:
                runs.set()
                await asyncio.Event().wait()
            sink.put(SYSLOG, [syslog_row()], lane=Lane.NORMAL)
            seen.append(agent.intake.last_seen_ns("cameras"))
            raise ZeroDivisionError("no such lens")

        supervisor = Supervisor()
        task = asyncio.create_task(supervisor.keep("cameras", collect, outage=Silence(agent.intake, "cameras")))
        async with asyncio.timeout(10):
            await runs.wait()
        rows, _ = await tap.take()
        life = supervisor.facts()["cameras"]
        task.cancel()
        await asyncio.wait([task])
        counted = {loss.reason.name: loss.amount for loss in agent.intake.counted() if loss.where == "cameras"}
    failed, missed = (row[5] for _, row in rows)
    assert ["collector", "collector"] == [row[2] for _, row in rows]
    assert {"ZeroDivisionError: no such lens"} == {failed["error"], missed["error"], life["error"]}
    assert {"cameras"} == {failed["collector"], missed["collector"]}
    assert seen == [failed["first_ns"]]
    assert failed["last_ns"] == missed["first_ns"] <= missed["last_ns"] <= time.time_ns()
    assert {"crash": 1} == counted
    assert 1 == life["restarts"]


async def test_a_stop_during_the_pause_tells_the_silence_too(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "BACKOFF_SECONDS", (60.0, 60.0))
    async with parts(tmp_path) as agent:
        tap = agent.intake.subscribe("agent")

        async def collect() -> None:
            """End by itself, which is a failure."""

        keeping = Supervisor().keep("cameras", collect, outage=Silence(agent.intake, "cameras"))
        task = asyncio.create_task(keeping)
        rows, _ = await tap.take()
        task.cancel()
        await asyncio.wait([task])
        more, _ = await tap.take()
    assert ["collector cameras failed: it ended by itself", "collector cameras did not run: it ended by itself"] == [
        row[4] for _, row in rows + more
    ]
