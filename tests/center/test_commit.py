"""Commit: what becomes of each batch, in which order things get durable, and what a failing disk may not do."""

import logging
import os
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from parts.batches import make_head, make_payload
from parts.center import (
    ME,
    batch,
    committing,
    eviction,
    hear,
    kept,
    ledger_of,
    lines,
    new_epoch,
    outcomes,
    said,
    state,
    texts,
)

from center.commit import Commit
from center.folder import Folder
from center.lock import FolderHeld
from wire.batch import decode_payload
from wire.receive import Outcome, Unread


def undecodable(seq=1, **changes):
    """A batch whose head is good and whose rows are not."""
    return decode_payload(make_payload(make_head(seq=seq, **changes), body=b"no zstd"))


# --- what becomes of a batch ---------------------------------------------------------------------------------------------


async def test_a_new_batch_is_committed_and_its_rows_are_in_the_sink(tmp_path):
    async with committing(tmp_path) as commit:
        assert ["committed", "committed"] == await outcomes(commit, batch(1, ["a"]), batch(2, ["b"]))
        assert ["a", "b"] == texts(tmp_path)


async def test_the_same_batch_again_is_a_repeat_and_changes_nothing_also_over_a_restart(tmp_path):
    async with committing(tmp_path) as commit:
        assert ["committed", "repeat"] == await outcomes(commit, batch(1), batch(1))
        assert ["repeat"] == await outcomes(commit, batch(1))
    async with committing(tmp_path) as commit:
        assert ["repeat", "committed"] == await outcomes(commit, batch(1), batch(2))
    assert [1, 2] == [line["seq"] for line in lines(tmp_path)]


async def test_other_bytes_under_a_known_name_are_a_conflict_and_kept(tmp_path):
    other = batch(1, ["other"])
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1, ["first"]))
        assert [Outcome("rejected", "conflict")] == await commit.commit([other])
    ((reason, payload),) = kept(tmp_path)
    assert "conflict" == reason
    assert (other.head_bytes, other.body) == (decode_payload(payload).head_bytes, decode_payload(payload).body)
    assert ["first"] == texts(tmp_path)


async def test_of_two_batches_of_one_name_in_one_group_the_first_is_taken(tmp_path):
    async with committing(tmp_path) as commit:
        assert ["committed", "rejected"] == await outcomes(commit, batch(1, ["first"]), batch(1, ["other"]))
    assert ["first"] == texts(tmp_path)


async def test_rows_that_cannot_be_decoded_are_rejected_kept_and_no_gap_in_the_account(tmp_path):
    async with committing(tmp_path) as commit:
        assert [Outcome("rejected", "undecodable")] == await commit.commit([undecodable(1)])
        await outcomes(commit, batch(2))
        ledger = await ledger_of(commit)
    assert ["undecodable"] == [reason for reason, _ in kept(tmp_path)]
    assert ledger["closed"]
    assert (1, 1, []) == tuple(ledger["spans"][0][key] for key in ("arrived", "refused", "missing"))


async def test_a_sink_that_keeps_batches_takes_what_nobody_can_decode(tmp_path):
    async with committing(tmp_path, "batches") as commit:
        assert ["committed"] == await outcomes(commit, undecodable(1))
    assert [] == kept(tmp_path)


async def test_a_payload_with_a_wrong_digest_is_refused_and_leaves_its_seq_open(tmp_path):
    async with committing(tmp_path) as commit:
        unread = Unread("topic", b"bytes", "digest", batch(1).name, bytes(16), ME)
        assert [Outcome("refused", "digest")] == await commit.commit([unread])
        assert ["committed"] == await outcomes(commit, batch(1))
    assert [("digest", b"bytes")] == kept(tmp_path)


async def test_a_stranger_cannot_explain_away_a_batch_of_somebody_else(tmp_path):
    """It is refused as `not-relay` without an agent it may speak for: the gap stays an alarm."""
    async with committing(tmp_path) as commit:
        await outcomes(commit, Unread("topic", b"bytes", "not-relay", batch(1).name, bytes(16)), batch(2))
        assert [[1, 1]] == (await ledger_of(commit))["spans"][0]["missing"]


# --- what agents declare -------------------------------------------------------------------------------------------------


async def test_an_eviction_is_declared_with_the_batch_that_tells_of_it(tmp_path):
    epoch = new_epoch()
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(4, epoch=epoch), said(1, "evicted", eviction(epoch, 1, 3), epoch=epoch))
        ledger = await ledger_of(commit)
    assert ledger["closed"]
    assert [3] == [one["declared"] for one in ledger["spans"] if one["lane"] == "normal"]


@pytest.mark.parametrize("kind", ["ndjson", "batches"])
async def test_declarations_in_a_batch_that_conflicts_count(tmp_path, kind):
    """A live copy of a machine declares under a name that its twin has used; it is rejected and never sent again."""
    epoch = new_epoch()
    async with committing(tmp_path, kind) as commit:
        await outcomes(commit, batch(4, epoch=epoch), said(1, "started", {}, epoch=epoch))
        twin = said(1, "evicted", eviction(epoch, 1, 3), epoch=epoch)
        assert [Outcome("rejected", "conflict")] == await commit.commit([twin])
        assert (await ledger_of(commit))["closed"]
    async with committing(tmp_path, kind) as commit:
        ledger = await ledger_of(commit)
    assert ledger["closed"]
    assert [3] == [one["declared"] for one in ledger["spans"] if one["lane"] == "normal"]


async def test_a_conflict_whose_declarations_cannot_be_read_is_still_kept(tmp_path):
    async with committing(tmp_path) as commit:
        await outcomes(commit, said(1, "started", {}))
        assert ["rejected"] == await outcomes(commit, undecodable(1, stream="agent", lane=0))
    assert ["conflict"] == [reason for reason, _ in kept(tmp_path)]


async def test_an_unclean_stop_stands_in_the_ledger_once_however_often_it_is_told(tmp_path):
    async with committing(tmp_path) as commit:
        for seq in (1, 2):
            await outcomes(commit, said(seq, "unclean-stop", {"first_ns": 5, "last_ns": 9}))
        assert [{"agent": ME, "first_ns": 5, "last_ns": 9}] == (await ledger_of(commit))["stops"]


# --- durable before anybody is told --------------------------------------------------------------------------------------


@contextmanager
def watching(monkeypatch, calls):
    """Note every sync of a file and a folder, and every commit of the memory, in their order."""
    fdatasync, fsync, commit = os.fdatasync, os.fsync, Folder.commit
    monkeypatch.setattr(os, "fdatasync", lambda file: (calls.append(name_of(file)), fdatasync(file)))
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append(name_of(file)), fsync(file)))

    def committing_memory(folder, change):
        done = folder.memory.commit
        folder.memory.commit = lambda change: (calls.append("memory"), done(change))
        try:
            commit(folder, change)
        finally:
            folder.memory.commit = done

    monkeypatch.setattr(Folder, "commit", committing_memory)
    yield
    monkeypatch.undo()


def name_of(file):
    return str(Path(f"/proc/self/fd/{file}").readlink())


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_refused_bytes_and_rows_are_synced_once_a_group_before_the_memory_says_so(tmp_path, monkeypatch):
    calls = []
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1), Unread("a", b"x", "limit"))
        with watching(monkeypatch, calls):
            group = [Unread("a", bytes([number]), "limit") for number in range(40)]
            await outcomes(commit, batch(2), batch(3), *group)
    assert [True, True, False] == [".open" in name for name in calls]
    assert {"log", "refused"} == {name.split("/")[-2] for name in calls[:2]}
    assert ["memory"] == calls[2:]


async def test_the_first_refused_bytes_are_synced_with_their_folder(tmp_path, monkeypatch):
    calls = []
    async with committing(tmp_path) as commit:
        with watching(monkeypatch, calls):
            await outcomes(commit, Unread("a", b"x", "limit"))
    assert str(tmp_path / "refused") in calls
    assert "memory" == calls[-1]


async def test_what_was_written_but_never_committed_is_cut_off_by_the_next_start(tmp_path):
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1, ["kept"]), Unread("a", b"kept", "limit"))

        def write_and_die(_):
            folder = commit._folder
            folder.refused.keep(b"lost", reason="limit", topic="a")
            folder.sink.write(batch(2), [[1, 2, "lost"]])
            folder.sink.sync()
            folder.refused.sync()

        await commit.with_memory(write_and_die)
    async with committing(tmp_path) as commit:
        assert ["committed"] == await outcomes(commit, batch(2, ["after"]))
    assert ["kept", "after"] == texts(tmp_path)
    assert [("limit", b"kept")] == kept(tmp_path)


# --- a disk that fails ---------------------------------------------------------------------------------------------------


@contextmanager
def failing_sink(folder):
    """A file where the sink needs a folder: whoever writes gets an OSError, until it is taken away."""
    folder.mkdir(exist_ok=True)
    (folder / "log").write_text("")
    yield
    (folder / "log").unlink()


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


# --- the folder ----------------------------------------------------------------------------------------------------------


async def test_two_receivers_do_not_share_a_folder(tmp_path):
    async with committing(tmp_path):
        with pytest.raises(FolderHeld, match=f"pid {os.getpid()}"):
            await Commit(tmp_path, "ndjson").open()
    async with committing(tmp_path) as commit:
        assert ["committed"] == await outcomes(commit, batch(1))


async def test_a_receiver_keeps_its_folder_while_its_disk_fails(tmp_path):
    async with committing(tmp_path) as commit:
        with failing_sink(tmp_path):
            await outcomes(commit, batch(1))
            with pytest.raises(FolderHeld):
                await Commit(tmp_path, "ndjson").open()


async def test_a_file_that_was_renamed_when_a_kill_came_is_not_written_again(tmp_path, caplog):
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1))
    (path,) = (tmp_path / "log").glob("*.open")
    path.rename(path.with_suffix(""))
    async with committing(tmp_path) as commit:
        assert ["repeat", "committed"] == await outcomes(commit, batch(1), batch(2))
        assert 1 == len(await commit.with_memory(lambda memory: memory.positions))
    assert [1, 2] == sorted(line["seq"] for line in lines(tmp_path))
    assert "is gone" not in caplog.text


async def test_an_open_file_that_somebody_took_away_is_said(tmp_path, caplog):
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1))
    (path,) = (tmp_path / "log").glob("*.open")
    path.unlink()
    async with committing(tmp_path):
        assert f"{path} is gone" in caplog.text


async def test_old_files_are_finished_also_when_nothing_comes(tmp_path):
    async with committing(tmp_path) as commit:
        await outcomes(commit, batch(1))
        for file in commit._folder.sink._files._open.values():
            file._opened -= 3600
        await commit.tend()
        assert ["committed"] == await outcomes(commit, batch(2))
    finished, still_open = sorted((tmp_path / "log").glob("*"), key=lambda path: path.suffix)
    assert (".ndjson", ".open") == (finished.suffix, still_open.suffix)
