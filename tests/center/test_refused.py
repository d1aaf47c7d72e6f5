"""`refused/`: durable, bounded in bytes and files, and what is discarded is counted by reason."""

import os

from parts.center import batch, committing, kept, ledger_of, outcomes

from center import refused as module
from center.refused import RefusedFiles, Tally, count_file
from wire.receive import Unread


def filled(tmp_path, count, *, size=100, **limits):
    one = RefusedFiles(tmp_path, positions={}, file_bytes=150, **limits)
    for number in range(count):
        one.keep(bytes([number]) * size, reason="limit", topic="a/b")
        one.sync()
        one.rotate()
    return one


def test_payloads_are_kept_with_reason_and_topic_and_can_be_read_back(tmp_path):
    one = filled(tmp_path, 3)
    assert [("limit", bytes([number]) * 100) for number in range(3)] == kept(tmp_path)
    assert {"limit": Tally(3, 300)} == one.take()
    assert {} == one.take()


def test_one_sync_a_group_makes_all_of_it_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    one = RefusedFiles(tmp_path, positions={})
    for _ in range(50):
        one.keep(b"x", reason="limit", topic="")
    positions = one.sync()
    assert 1 == len(synced)
    assert [path.stat().st_size for path in (tmp_path / "refused").glob("*")] == list(positions.values())


def test_beyond_the_bytes_the_oldest_files_are_to_go(tmp_path):
    one = filled(tmp_path, 20, limit_bytes=150 * 2 + 700)
    finished = sorted((tmp_path / "refused").glob("*.refused"))
    beyond = one.beyond()
    assert beyond == finished[: len(beyond)]
    left = sum(path.stat().st_size for path in finished[len(beyond) :])
    assert 700 - 300 < left <= 700


def test_beyond_the_number_of_files_the_oldest_are_to_go(tmp_path):
    one = filled(tmp_path, 20, limit_files=4)
    finished = sorted((tmp_path / "refused").glob("*.refused"))
    assert finished[:-4] == one.beyond()


def test_files_of_a_stream_that_is_named_refused_are_not_ours(tmp_path):
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "20000101T000000Z-0.ndjson").write_text("{}\n")
    one = filled(tmp_path, 9, limit_files=0)
    assert all(path.suffix == ".refused" for path in one.beyond())


def test_a_damaged_file_counts_as_one_that_is_unreadable(tmp_path):
    path = tmp_path / "x.refused"
    path.write_bytes(b"\xc1" * 30)
    assert {"unreadable": Tally(1, 30)} == count_file(path)


async def test_what_is_discarded_is_counted_said_and_shown_over_a_restart(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module.RefusedFiles.__init__, "__kwdefaults__", {**SMALL})
    async with committing(tmp_path) as commit:
        for number in range(30):
            reason = "limit" if number % 3 else "undecodable"
            await outcomes(commit, Unread("edgepost/v1/up/hue/gw-01/log", bytes(100), reason))
    async with committing(tmp_path) as commit:
        ledger = await ledger_of(commit)
    there = kept(tmp_path)
    shown = {one["reason"]: one for one in ledger["refused"]}
    assert (20, 10) == (shown["limit"]["kept"], shown["undecodable"]["kept"])
    assert 30 > len(there) > 0
    for reason in ("limit", "undecodable"):
        left = sum(why == reason for why, _ in there)
        assert left == shown[reason]["kept"] - shown[reason]["discarded"]
        assert 100 * left == shown[reason]["kept_bytes"] - shown[reason]["discarded_bytes"]
    assert "is discarded" in caplog.text
    assert "1 limit" in caplog.text


SMALL = {"limit_bytes": 1000, "limit_files": 64, "file_bytes": 200}


async def test_a_discard_that_a_kill_interrupted_is_ended_and_counted_once(tmp_path):
    async with committing(tmp_path) as commit:
        await outcomes(commit, Unread("a", b"x", "limit"), batch(1))

        def begin_discard(memory):
            (path,) = (tmp_path / "refused").glob("*.open")
            left = path.with_suffix("")
            left.write_bytes(b"")
            memory.discard(str(left.relative_to(tmp_path)), {"limit": Tally(5, 50)})
            return left

        left = await commit.with_memory(begin_discard)
    assert left.exists()
    async with committing(tmp_path) as commit:
        assert not left.exists()
        assert [] == await commit.with_memory(lambda memory: memory.gone())
        (shown,) = (await ledger_of(commit))["refused"]
    assert 5 == shown["discarded"]
