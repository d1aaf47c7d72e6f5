"""Fuzz one target with atheris (libFuzzer): `run.py TARGET [flags and folders of libFuzzer]`.

    PYTHONPATH=.:tests python tests/fuzz/run.py framing -max_total_time=60 NEW_CORPUS tests/fuzz/corpus/framing

What breaks a promise ends it with a traceback, exit code 77 and the input in `crash-*`: put that into the corpus.
"""

import importlib.util
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agent", "collectors", "wire"], enable_loader_override=False):
    found = importlib.util.spec_from_file_location("targets", Path(__file__).with_name("targets.py"))
    assert found is not None
    assert found.loader is not None
    targets = importlib.util.module_from_spec(found)
    found.loader.exec_module(targets)

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets.TARGETS[sys.argv[1]])
    atheris.Fuzz()
