"""A stop ends whatever hangs, says what it waited for, and keeps what was put to the very last."""

import asyncio
import contextlib
import threading
import time

import pytest
from parts.agents import parts

from agent import ending
from agent.buffer import Buffer, BufferSettings, Origin
from agent.events import AGENT, row
from agent.intake import Intake
from collectors.sink import Lane

ORIGIN = Origin("a1", "s1", bytes(16))


async def opened(folder):
    return await Buffer.open(folder, origin=ORIGIN, settings=BufferSettings())


def received(buffer) -> int:
    return sum(entry["rows"] for entry in buffer.facts()["account"] if entry["what"] == "received")


@pytest.fixture
def hang():
    """An event whose `wait` keeps the writer's thread, as a disk does that answers no more."""
    release = threading.Event()
    yield release
    release.set()


async def stubborn() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_what_does_not_end_at_its_cancellation_is_named_and_cancelled_again(caplog):
    task = asyncio.create_task(stubborn(), name="camera-7")
    await asyncio.sleep(0)
    await ending.end([task], seconds=0.01)
    assert task.cancelled()
    assert ["camera-7"] == [record.args[1] for record in caplog.records]


async def test_what_ends_in_time_is_not_talked_about(caplog):
    task = asyncio.create_task(asyncio.Event().wait())
    await ending.end([task], seconds=5)
    await ending.end([], seconds=5)
    assert (True, []) == (task.cancelled(), caplog.records)


async def test_a_row_that_was_put_a_moment_ago_is_committed_before_the_buffer_closes(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    await ending.commit(intake)
    intake.sink("test").put(AGENT, [row("ping", text="late")], lane=Lane.URGENT)  # its commit is due in 50 ms
    assert await ending.close(intake, buffer)
    buffer = await opened(tmp_path)
    assert (1, None) == (received(buffer), buffer.unclean_since_ns)
    await buffer.close()


async def test_a_disk_that_hangs_ends_no_stop_but_is_told(tmp_path, caplog, hang):
    buffer = await opened(tmp_path)
    intake = Intake(buffer)
    intake.sink("test").put(AGENT, [row("ping", text="held up")])
    buffer._writer.ask(hang.wait)
    assert not await ending.close(intake, buffer, seconds=0.05)
    told = [record.args[0] for record in caplog.records]
    assert ["the commit of the last rows", "the close of the buffer"] == [text.partition(" (")[0] for text in told]


async def test_receipts_are_waited_for_no_longer_than_there_is_time_though_the_disk_hangs(tmp_path, monkeypatch, hang):
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.05)
    async with parts(tmp_path) as agent:
        monkeypatch.setattr(type(agent.forward), "is_connected", True)
        agent.buffer._newest.read = lambda *_, **__: None  # so that the disk is asked
        agent.buffer._writer.ask(hang.wait)
        assert not await ending.receipts(agent.forward, until=time.monotonic() + 0.05)
        hang.set()
