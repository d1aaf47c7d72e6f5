"""Fuzzers with atheris (libFuzzer): their corpora always; in `make fuzz` some thousands of mutations, then minutes of them.

What fails leaves its input in `crash-*`, and prints it: put it into `corpus/TARGET/failed-WHAT`, then mend.
"""

import importlib.util
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from conftest import leave_out

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus"
TARGETS = sorted(folder.name for folder in CORPUS.iterdir())
INPUTS = sorted(path for path in CORPUS.glob("*/*"))
MEMORY_BYTES = 64 << 20  # for one input of at most a few KiB
MOST_BYTES = 1_000  # of an input that is made: longer ones are slower, and know no more
RUNS = 2_000
SOAK_SECONDS = 300


@pytest.fixture(scope="module")
def targets():
    spec = importlib.util.spec_from_file_location("targets", FOLDER / "targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TARGETS


def test_every_target_has_a_corpus(targets):
    assert sorted(targets) == TARGETS


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_in_a_corpus_keeps_every_promise_in_little_memory(targets, path):
    tracemalloc.start()
    try:
        targets[path.parent.name](path.read_bytes())
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


def fuzz(target: str, folder: Path, *flags: str) -> None:
    """Run libFuzzer on a target; new inputs and what fails go into `folder`."""
    if importlib.util.find_spec("atheris") is None:
        leave_out("atheris is not installed: make fuzz (x86_64 Linux, Python 3.11 to 3.13)")
    found = importlib.util.find_spec("agent")
    assert found is not None
    assert found.origin is not None
    paths = [str(Path(found.origin).parents[1]), str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), target, *flags, f"-max_len={MOST_BYTES}", "-rss_limit_mb=512",
         "-timeout=10", f"-artifact_prefix={folder}/", str(folder), str(CORPUS / target)],
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, paths))}, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    left = [
        f"{path.name}: {path.read_bytes()!r}"
        for path in folder.glob("*-*")
        if path.name[:5] in {"crash", "oom-", "timeo"}
    ]
    assert done.returncode == 0, "\n".join([done.stderr[-4000:], *left])
    assert "Done " in done.stderr


@pytest.mark.fuzz
@pytest.mark.parametrize("target", TARGETS)
def test_some_thousands_of_mutations_keep_every_promise(tmp_path, target):
    fuzz(target, tmp_path, f"-runs={RUNS}", "-seed=1")


@pytest.mark.fuzz
@pytest.mark.timeout(2 * SOAK_SECONDS)
@pytest.mark.parametrize("target", TARGETS)
def test_minutes_of_mutations_keep_every_promise(tmp_path, target):
    fuzz(target, tmp_path, f"-max_total_time={SOAK_SECONDS}")
