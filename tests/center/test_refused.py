"""What nobody can read is kept beside the sink, bounded in bytes and in files."""

from center import commit as module
from center.commit import Commit


async def test_refused_bytes_are_kept_and_the_oldest_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "REFUSED_FILES", 150)
    commit = Commit(tmp_path, "ndjson")
    await commit.open()
    for number in range(401):
        await commit.keep_refused("topic", b"%d" % number, "undecodable")
    await commit.close()
    kept = sorted(int(file.read_bytes()) for file in (tmp_path / "refused").iterdir())
    assert list(range(251, 401)) == kept


async def test_large_ones_are_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "REFUSED_BYTES", 5_000)
    commit = Commit(tmp_path, "ndjson")
    await commit.open()
    for _ in range(101):
        await commit.keep_refused("topic", bytes(1_000), "limit")
    await commit.close()
    assert 5 == len(list((tmp_path / "refused").iterdir()))
