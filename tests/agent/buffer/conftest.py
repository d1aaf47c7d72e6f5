"""A folder whose syncs cost nothing, for tests that make thousands of stores and cut the power themselves."""

import tempfile
from pathlib import Path

import pytest
from parts.disks import MEMORY


@pytest.fixture
def quick_path():
    with tempfile.TemporaryDirectory(prefix="edgepost-", dir=MEMORY) as folder:
        yield Path(folder)
