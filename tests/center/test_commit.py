"""Commit: what becomes of each batch, in which order things get durable, and what a failing disk may not do."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from parts.batches import make_head, make_payload
from parts.center import (
    ME,
    batch,
    committing,
    eviction,
    failing_sink,
    kept,
    ledger_of,
    lines,
    new_epoch,
    outcomes,
    said,
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
            file._begun -= 3600
        await commit.tend()
        assert ["committed"] == await outcomes(commit, batch(2))
    finished, still_open = sorted((tmp_path / "log").glob("*"), key=lambda path: path.suffix)
    assert (".ndjson", ".open") == (finished.suffix, still_open.suffix)


async def test_a_stream_may_have_any_name(tmp_path):
    async with committing(tmp_path) as commit:
        names = ["lock", "refused", "receive", "center"]
        group = [batch(seq, [name], stream=name) for seq, name in enumerate(names, 1)]
        assert ["committed"] * 4 == await outcomes(commit, *group)
    assert names == [texts(tmp_path, name)[0] for name in names]


async def test_the_loop_is_never_blocked_by_the_disk(tmp_path):
    async with committing(tmp_path) as commit:
        with blockbuster_ctx(["center", "wire"]):
            await outcomes(commit, batch(1), said(1, "started", {}), Unread("a", b"x", "limit"))
            await commit.tend()
            assert (await ledger_of(commit))["closed"]
