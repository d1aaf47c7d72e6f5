"""A disk that fails, is full, or turned read-only: the answer is `later`, nothing is promised and nothing is lost."""

import logging
import os
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from parts.center import (
    ME,
    batch,
    committing,
    failing_sink,
    hear,
    kept,
    ledger_of,
    lines,
    new_epoch,
    outcomes,
    said,
    state,
)

from wire.receive import Outcome, Unread


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_while_the_sink_fails_everything_of_a_group_is_later_and_nothing_is_lost(tmp_path):
    with failing_sink(tmp_path):
        async with committing(tmp_path) as commit:
            group = [said(1, "started", {}), batch(1), Unread("a", b"x", "limit", batch(2).name, bytes(16), ME)]
            assert [Outcome("later", "disk")] * 3 == await commit.commit(group)
            assert commit.problem
    async with committing(tmp_path) as commit:
        assert ["committed", "committed", "rejected"] == await outcomes(commit, *group)
        assert 1 == len(lines(tmp_path, "agent"))
        assert [("limit", b"x")] == kept(tmp_path)
        assert (await ledger_of(commit))["closed"]


async def test_a_repeat_of_what_its_own_group_did_not_commit_is_no_repeat(tmp_path):
    """The first of the two is later; a `repeat` for the second would end custody of what is nowhere."""
    with failing_sink(tmp_path):
        async with committing(tmp_path) as commit:
            assert ["later", "later"] == await outcomes(commit, batch(1), batch(1))


async def test_a_conflict_with_what_its_own_group_did_not_commit_is_no_conflict(tmp_path):
    async with committing(tmp_path) as commit:
        commit._folder.memory.commit = raising(sqlite3.OperationalError("database or disk is full"))
        assert ["later", "later"] == await outcomes(commit, batch(1, ["a"]), batch(1, ["b"]))
    async with committing(tmp_path):
        assert [] == kept(tmp_path)


def raising(error):
    def fail(_):
        raise error

    return fail


async def test_a_failure_is_said_once_and_so_is_its_end(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with committing(tmp_path) as commit:
        with failing_sink(tmp_path):
            for _ in range(3):
                await outcomes(commit, batch(1))
            assert 1 == caplog.text.count("nothing is taken")
        assert ["committed"] == await outcomes(commit, batch(1))
        assert commit.problem is None
    assert 1 == caplog.text.count("taken again")


async def test_a_bug_is_no_failing_disk(tmp_path):
    async with committing(tmp_path) as commit:
        commit._folder.memory.commit = raising(sqlite3.ProgrammingError("wrong"))
        with pytest.raises(sqlite3.ProgrammingError):
            await commit.commit([batch(1)])


async def test_a_failing_reopen_leaves_no_descriptors_behind(tmp_path):
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1), batch(9, stream="zzz"))
        (path,) = (tmp_path / "zzz").glob("*.open")
        path.unlink()
        path.mkdir()  # an open file that cannot be opened
        await commit.with_memory(lambda _: commit._close_folder())
        await outcomes(commit, batch(2))
        before = open_files()
        assert [["later"]] * 5 == [await outcomes(commit, batch(2)) for _ in range(5)]
        assert before == open_files()


async def test_states_that_were_heard_while_the_disk_failed_are_remembered_later(tmp_path):
    memory, away = tmp_path / "receive.db", tmp_path / "away"
    async with committing(tmp_path) as commit:
        await commit.with_memory(lambda _: commit._close_folder())
        memory.rename(away)
        memory.mkdir()
        await hear(commit, state(new_epoch(), (1, 1, 5)))
        assert commit.problem
        memory.rmdir()
        away.rename(memory)
        await outcomes(commit, batch(1))
        assert ["online"] == [one["state"] for one in (await ledger_of(commit))["agents"]]


@contextmanager
def small_disk(folder, size_kib):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ndjson", "batches"])
async def test_on_a_full_disk_batches_are_later_until_there_is_room(tmp_path, kind):
    noise = os.urandom(100_000).hex()
    with small_disk(tmp_path / "disk", 2048) as disk:
        async with committing(disk, kind) as commit:
            told, seq = [], 0
            while "later" not in told:
                seq += 1
                told += await outcomes(commit, batch(seq, [noise]))
            assert "No space left" in str(commit.problem)
            assert ["later"] == await outcomes(commit, batch(seq, [noise]))
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            assert ["committed"] == await outcomes(commit, batch(seq, [noise]))
            assert ["repeat"] * seq == await outcomes(commit, *[batch(one, [noise]) for one in range(1, seq + 1)])
            assert commit.problem is None
            ledger = await ledger_of(commit)
        assert seq == ledger["spans"][0]["arrived"]
        if kind == "ndjson":
            assert list(range(1, seq + 1)) == [line["seq"] for line in lines(disk)]


@pytest.mark.root
async def test_on_a_disk_that_turned_read_only_batches_are_later_until_it_is_mended(tmp_path):
    with small_disk(tmp_path / "disk", 4096) as disk:
        async with committing(disk) as commit:
            assert ["committed"] == await outcomes(commit, batch(1))
            await commit.with_memory(lambda _: commit._close_folder())  # a file open for writing forbids the remount
            os.close(commit._lock)
            commit._lock = None
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            assert ["later"] == await outcomes(commit, batch(2))
            assert commit.problem
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            assert ["repeat", "committed"] == await outcomes(commit, batch(1), batch(2))
        assert [1, 2] == [line["seq"] for line in lines(disk)]


async def test_a_memory_that_is_damaged_at_the_start_is_a_state_and_heals(tmp_path):
    memory = tmp_path / "receive.db"
    memory.write_bytes(b"no database at all" * 300)
    async with committing(tmp_path) as commit:
        assert "not a database" in str(commit.problem)
        assert ["later"] == await outcomes(commit, batch(1))
        memory.unlink()
        assert ["committed"] == await outcomes(commit, batch(1))
        assert commit.problem is None
