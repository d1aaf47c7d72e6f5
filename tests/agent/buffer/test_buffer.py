"""The facade on the loop: futures, discards, the newest batches in memory, and how it ends."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time

import pytest
from parts.buffers import COLUMNS, ORIGIN, assert_account_closes, details, keeper, numbers, opened, sealed

from agent.buffer import Buffer, BufferSettings, StateDirFailed, StoreHeld
from agent.buffer import buffer as buffer_module
from agent.buffer.rows import Done, Sealed


@pytest.fixture
async def buffer(tmp_path):
    one = await opened(tmp_path)
    yield one
    if not one._ended.done():
        await one.close()


async def put(buffer, first=0, rows=2, *, lane=1):
    buffer.seal(sealed(first, rows, lane=lane))
    return await buffer.commit()


async def test_a_commit_gives_what_was_named_and_wakes_the_forwarder(buffer):
    told = []
    buffer.on_committed = lambda: told.append(True)
    (held,) = await put(buffer, 0, 5)
    assert numbers(held) == [0, 1, 2, 3, 4]
    assert told == [True]
    assert held.name.epoch == buffer.epoch


async def test_what_was_sealed_before_a_commit_is_in_it_and_nothing_else(buffer):
    buffer.seal(sealed(0))
    first = buffer.commit()
    buffer.seal(sealed(10))
    second = buffer.commit()
    assert numbers(await second) == [10, 11]
    assert numbers(await first) == [0, 1]


async def test_the_newest_batches_are_read_without_the_disk(buffer):
    await put(buffer)
    requests = []
    buffer._writer.ask = lambda *work: requests.append(work)
    assert numbers(await buffer.read(1, after=0, limit_bytes=1 << 20)) == [0, 1]
    assert requests == []
    del buffer._writer.ask


async def test_a_backlog_is_read_from_the_disk_and_goes_over_into_the_newest(tmp_path):
    one = await opened(tmp_path)
    for first in range(0, 100, 10):
        await put(one, first, 10)
    await one.close()
    two = await opened(tmp_path)
    for first in range(100, 200, 10):
        await put(two, first, 10)
    found, after = [], 0
    while batches := await two.read(1, after=after, limit_bytes=700):
        found += numbers(batches)
        after = batches[-1].key
    assert found == list(range(200))
    await two.close()


async def test_the_newest_in_memory_are_bounded_and_the_rest_comes_from_the_disk(buffer):
    for first in range(200):
        body = (
            b"\x91\x93\xc0"
            + first.to_bytes(1, "big").rjust(2, b"\xcc")
            + b"\xda\xea\x60"
            + os.urandom(30_000).hex().encode()
        )
        buffer.seal(Sealed("log", COLUMNS, 1, 1, body, 0, 0))
        await buffer.commit()
    assert buffer._newest._bytes <= 4 << 20
    found, after = 0, 0
    while batches := await buffer.read(1, after=after, limit_bytes=1 << 20):
        found += len(batches)
        after = batches[-1].key
    assert found == 200


async def test_a_discard_rides_on_the_next_commit(buffer):
    (held,) = await put(buffer)
    buffer.discard([Done(held, "confirmed")])
    await put(buffer, 10)
    assert [entry["rows"] for entry in buffer.facts()["account"] if entry["what"] == "confirmed"] == [2]
    assert numbers(await buffer.read(1, after=0, limit_bytes=1 << 20)) == [10, 11]


async def test_discards_commit_alone_a_second_after_the_first_of_them(buffer, monkeypatch):
    assert buffer_module.DISCARD_SECONDS == 1.0
    monkeypatch.setattr(buffer_module, "DISCARD_SECONDS", 0.02)
    held = await put(buffer) + await put(buffer, 10)
    for one in held:
        buffer.discard([Done(one, "confirmed")])
    assert buffer.confirmed() == {}
    async with asyncio.timeout(5):
        while not buffer.confirmed():
            await asyncio.sleep(0.005)
    assert buffer.confirmed() == {"log": 4}


async def test_what_is_discarded_is_not_read_even_before_it_is_committed(tmp_path):
    one = await opened(tmp_path)
    (held,) = await put(one)
    await one.close()
    two = await opened(tmp_path)
    (found,) = await two.read(1, after=0, limit_bytes=1 << 20)
    assert found == held
    two.discard([Done(found, "confirmed")])
    assert await two.read(1, after=0, limit_bytes=1 << 20) == []
    await two.close()
    assert keeper(tmp_path).store.tables.lanes[1].batches == 0


async def test_a_parked_batch_is_not_read_again(buffer):
    (held,) = await put(buffer)
    buffer.park(held, "refused twice")
    assert await buffer.read(1, after=0, limit_bytes=1 << 20) == []
    await buffer.refresh()
    assert buffer.facts()["lanes"][1]["parked"] == 1


async def test_rows_lost_before_any_batch_are_received_and_dropped_in_the_account(buffer):
    buffer.count("syslog", "dropped:intake-full", 7)
    await put(buffer)
    account = {(entry["stream"], entry["what"]): entry["rows"] for entry in buffer.facts()["account"]}
    assert account["syslog", "received"] == account["syslog", "dropped:intake-full"] == 7


async def test_marks_are_given_to_their_collector_alone(tmp_path):
    one = await opened(tmp_path)
    one.seal(sealed(0))
    await one.commit({("journal", "cursor"): b"c", ("log", "file"): b"9"})
    assert one.marks("journal") == {"cursor": b"c"}
    assert one.marks("") == {}
    await one.close()
    two = await opened(tmp_path)
    assert two.marks("log") == {"file": b"9"}
    await two.close()


async def test_a_new_epoch_begins_at_seq_one_and_is_told(buffer):
    (before,) = await put(buffer)
    await buffer.draw_epoch()
    after = [held for held in await put(buffer, 10) if held.stream == "log"]
    assert after[0].name.epoch == buffer.epoch != before.name.epoch
    assert after[0].name.seq == 1
    spans = {(span.epoch, span.lane): (span.first_held, span.last) for span in await buffer.spans()}
    assert spans[before.name.epoch, 1] == spans[buffer.epoch, 1] == (1, 1)


async def test_facts_never_ask_the_disk(buffer):
    await put(buffer)
    await buffer.refresh()
    buffer._writer.ask = None
    facts = buffer.facts()
    assert facts["state"] == "ok"
    assert facts["lanes"][1]["batches"] == 1
    assert facts["lanes"][1]["oldest_ns"] > 0
    assert facts["lanes"][1]["rate_bytes_per_second"] > 0
    assert facts["lanes"][1]["hours_left"] > 0
    assert facts["used_bytes"] > 0
    assert facts["disk_free_bytes"] > 0
    assert facts["commit_ms"]["max"] > 0
    del buffer._writer.ask


async def test_a_clean_stop_says_nothing_and_a_kill_says_since_when_intake_is_unknown(tmp_path):
    one = await opened(tmp_path)
    assert one.unclean_since_ns is None
    await put(one)
    await one.close()
    two = await opened(tmp_path)
    assert two.unclean_since_ns is None
    before = time.time_ns()
    await put(two)
    after = time.time_ns()
    await two.close()
    script = (
        "import asyncio, os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from parts.buffers import opened, sealed\n"
        "async def main():\n"
        "    one = await opened(Path(sys.argv[1])); one.seal(sealed(50)); await one.commit()\n"
        "    print('committed', flush=True); os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path), *sys.path], capture_output=True, check=False)
    assert child.stdout == b"committed\n", child.stderr
    three = await opened(tmp_path)
    assert three.unclean_since_ns > after > before
    assert numbers(await three.read(1, after=0, limit_bytes=1 << 20)) == [0, 1, 0, 1, 50, 51]
    await three.close()


async def test_a_second_agent_on_the_same_store_is_told_who_holds_it(buffer, tmp_path):
    with pytest.raises(StoreHeld, match=f"pid {os.getpid()}"):
        await Buffer.open(tmp_path, origin=ORIGIN, settings=BufferSettings())
    await put(buffer)
    await buffer.close()
    again = await opened(tmp_path)
    await again.close()


async def test_a_program_that_has_the_file_open_is_a_state_and_not_an_end(tmp_path):
    await (await opened(tmp_path)).close()
    other = sqlite3.connect(tmp_path / "buffer.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    one = await Buffer.open(tmp_path, origin=ORIGIN, settings=BufferSettings())
    assert one.facts()["state"] == "busy"
    await put(one)
    assert numbers(await one.read(1, after=0, limit_bytes=1 << 20)) == [0, 1]
    (told,) = details(await one.read(0, after=0, limit_bytes=1 << 20), "epoch")
    assert told["reason"] == "another program has the buffer file open"
    assert one.facts()["memory_batches"] == 2  # the rows, and the row that tells of the disk
    other.execute("COMMIT")
    other.close()
    await one.close()
    assert [lane.batches for lane in keeper(tmp_path).store.tables.lanes] == [1, 1, 0]


async def test_a_state_directory_that_cannot_be_made_ends_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirFailed, match="make it"):
        await Buffer.open(tmp_path / "file" / "state", origin=ORIGIN, settings=BufferSettings())


async def test_a_bug_of_the_writer_fails_the_buffer_and_leaves_nobody_waiting(tmp_path):
    def bug(step):
        if step == "insert":
            raise RuntimeError("a bug")

    one = await opened(tmp_path, step=bug)
    one.seal(sealed(0))
    commit = one.commit()
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(asyncio.shield(one.failed), 5)
    with pytest.raises(asyncio.CancelledError):
        await commit
    with pytest.raises(asyncio.CancelledError):
        await one.commit()
    await asyncio.wait_for(one.close(), 5)


async def test_evicted_batches_leave_the_newest_and_are_told(tmp_path):
    one = await opened(tmp_path, limit_bytes=16 << 20)
    gone = []
    one.on_evicted = gone.extend
    for _ in range(300):
        body = b"\x91\x93\xc0\x01\xda\xfd\xe8" + os.urandom(32_500).hex().encode()
        one.seal(Sealed("log", COLUMNS, 2, 1, body, 0, 0))
        one.seal(Sealed("log", COLUMNS, 2, 1, body, 0, 0))
        await one.commit()
    assert gone
    found = await one.read(2, after=0, limit_bytes=100 << 20)
    assert not set(gone) & {held.key for held in found}
    await one.close()


async def test_an_idle_buffer_has_no_timer_and_its_thread_does_not_wake(buffer):
    (held,) = await put(buffer)
    buffer.discard([Done(held, "confirmed")])
    await put(buffer, 10)
    loop = asyncio.get_running_loop()
    assert [timer for timer in loop._scheduled if not timer.cancelled() and "buffer" in repr(timer)] == []
    assert buffer._keeper.due is None


@pytest.mark.parametrize("step_seconds", [-365 * 86400, 365 * 86400])
async def test_order_and_names_do_not_depend_on_the_clock(tmp_path, monkeypatch, step_seconds):
    one = await opened(tmp_path)
    await put(one, 0)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + step_seconds * 10**9)
    await put(one, 10)
    await one.close()
    two = await opened(tmp_path)
    await put(two, 20)
    monkeypatch.undo()
    await put(two, 30)
    assert numbers(await two.read(1, after=0, limit_bytes=1 << 20)) == [0, 1, 10, 11, 20, 21, 30, 31]
    assert_account_closes(two._keeper.store)
    await two.close()
