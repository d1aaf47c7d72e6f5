"""Append-only files with committed positions: `NAME.open` while written, `NAME` when finished.

A restart cuts `.open` back to its committed position, so nothing stands in a file twice. Readers take finished files.
"""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROTATE_BYTES: Final = 256 << 20
ROTATE_SECONDS: Final = 3600.0


class OpenFile:
    """One file being written."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        os.ftruncate(self._file, size)
        self.size = size
        self.opened = time.monotonic()
        self._is_dirty = False

    def write(self, data: bytes) -> None:
        """Append, however many calls it takes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
        self._is_dirty = True

    def sync(self) -> bool:
        """Bring it to the medium; tell whether there was anything to bring."""
        if not self._is_dirty:
            return False
        os.fdatasync(self._file)
        self._is_dirty = False
        return True

    def close(self) -> None:
        """Close without finishing: the next start goes on where this ends."""
        os.close(self._file)


class Files:
    """The open file of each key (a stream)."""

    def __init__(self, folder: Path, suffix: str, *, positions: Mapping[str, int]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._open: dict[str, OpenFile] = {}
        for left in sorted(folder.glob(f"*/*{suffix}.open")):
            name = str(left.relative_to(folder))
            self._open[left.parent.name] = OpenFile(left, min(positions.get(name, 0), left.stat().st_size))

    def write(self, key: str, data: bytes) -> None:
        """Append to the open file of a key."""
        file = self._open.get(key)
        if file is None:
            file = self._open[key] = OpenFile(self._new_path(key), 0)
        file.write(data)

    def _new_path(self, key: str) -> Path:
        folder = self._folder / key
        folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        number = sum(1 for _ in folder.glob(f"{stamp}-*"))
        path = folder / f"{stamp}-{number}{self._suffix}.open"
        path.touch()
        _sync_folder(folder)
        _sync_folder(self._folder)
        return path

    def sync(self) -> dict[str, int]:
        """Sync every file that was written; give the bytes of each."""
        return {str(file.path.relative_to(self._folder)): file.size for file in self._open.values() if file.sync()}

    def rotate(self, *, everything: bool = False) -> list[str]:
        """Finish files by renaming them; give the names under which they were open."""
        done = []
        for key, file in list(self._open.items()):
            old = time.monotonic() - file.opened > ROTATE_SECONDS
            if file.size and (everything or old or file.size > ROTATE_BYTES):
                file.close()
                file.path.rename(file.path.with_suffix(""))
                _sync_folder(file.path.parent)
                done.append(str(file.path.relative_to(self._folder)))
                del self._open[key]
        return done

    def close(self) -> None:
        """Close all files where they are."""
        for file in self._open.values():
            file.close()


def _sync_folder(folder: Path) -> None:
    """A new name holds only when its folder is synced too (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
