"""Append-only files with committed positions: `NAME.open` while written, `NAME` when finished.

    write ──► NAME.open ──sync──► fdatasync ──► position, committed with the names ──rotate──► NAME

Invariants:
- A restart cuts `.open` back to its committed position, so nothing stands in a file twice. Readers take finished files.
- What is finished is whole and is never opened, changed or overwritten again.
- A file or a folder that is new is synced with the folder above it before anything in it is promised (fsync(2)).
"""

import logging
import os
import time
from calendar import timegm
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROTATE_BYTES: Final = 256 << 20
ROTATE_SECONDS: Final = 3600.0
HELD_FILES: Final = 64
OPEN: Final = ".open"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
log = logging.getLogger("edgepost.center")


class OpenFile:
    """One file being written; its descriptor is held while it is used, and may be let go at any time."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        os.truncate(path, size)
        self._file: int | None = None
        self._begun = time.monotonic() - _age_seconds(path)
        self._is_dirty = False

    @property
    def age_seconds(self) -> float:
        """How long ago it was begun, restarts included."""
        return time.monotonic() - self._begun

    @property
    def is_held(self) -> bool:
        """Whether its descriptor is held."""
        return self._file is not None

    def _hold(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self._file

    def write(self, data: bytes) -> None:
        """Append, however many calls it takes."""
        file, view = self._hold(), memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        self.size += len(data)
        self._is_dirty = True

    def sync(self) -> bool:
        """Bring it to the medium; tell whether there was anything to bring."""
        if not self._is_dirty:
            return False
        os.fdatasync(self._hold())
        self._is_dirty = False
        return True

    def let_go(self) -> None:
        """Close the descriptor; the file goes on where it ends."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class Files:
    """The open file of each key (a stream): a folder of its own below `folder`."""

    def __init__(
        self,
        folder: Path,
        suffix: str,
        *,
        positions: Mapping[str, int],
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float | None = ROTATE_SECONDS,
    ) -> None:
        self._folder = folder
        self._suffix = suffix
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._open: dict[str, OpenFile] = {}
        for left in sorted(folder.glob(f"*/*{suffix}{OPEN}")):
            self._go_on(left, positions.get(str(left.relative_to(folder)), 0))

    def _go_on(self, left: Path, position: int) -> None:
        size = left.stat().st_size
        if size < position:
            log.error("%s has %d bytes where %d were committed: the rest is lost", left, size, position)
        self._open[left.parent.name] = OpenFile(left, min(position, size))

    def write(self, key: str, data: bytes) -> None:
        """Append to the open file of a key."""
        file = self._open.pop(key, None) or OpenFile(self._new_path(key), 0)
        self._open[key] = file  # the one used last stands last
        if not file.is_held:
            self._make_room()
        file.write(data)

    def _make_room(self) -> None:
        """Let the file go that was used longest ago, so that senders of many streams cannot take all descriptors."""
        held = [file for file in self._open.values() if file.is_held]
        if len(held) >= HELD_FILES:
            held[0].let_go()

    def _new_path(self, key: str) -> Path:
        """Make the file for the next rows of a key, with a name that none has had in this second."""
        folder = self._folder / key
        if not folder.is_dir():
            folder.mkdir(mode=0o750, parents=True)
            sync_folder(self._folder)
        stamp = time.strftime(_STAMP, time.gmtime())
        used = [int(number) for path in folder.glob(f"{stamp}-*") if (number := _number(path)).isdigit()]
        path = folder / f"{stamp}-{max(used, default=-1) + 1}{self._suffix}{OPEN}"
        path.touch(0o640, exist_ok=False)
        sync_folder(folder)
        return path

    def sync(self) -> dict[str, int]:
        """Sync every file that was written; give the bytes of each."""
        synced = {}
        for file in self._open.values():
            was_held = file.is_held
            if file.sync():
                synced[str(file.path.relative_to(self._folder))] = file.size
            if not was_held:
                file.let_go()
        return synced

    def rotate(self) -> list[str]:
        """Finish what is large or old enough by renaming it; give the names under which it was open."""
        done = []
        for key, file in list(self._open.items()):
            if self._is_due(file):
                file.let_go()
                del self._open[key]
                file.path.rename(file.path.with_suffix(""))
                sync_folder(file.path.parent)
                done.append(str(file.path.relative_to(self._folder)))
        return done

    def _is_due(self, file: OpenFile) -> bool:
        is_old = self._rotate_seconds is not None and file.age_seconds >= self._rotate_seconds
        return file.size > 0 and (is_old or file.size >= self._rotate_bytes)

    def close(self) -> None:
        """Close all files where they are."""
        for file in self._open.values():
            file.let_go()


def _number(path: Path) -> str:
    """The N of `STAMP-N.SUFFIX`."""
    return path.name.partition("-")[2].partition(".")[0]


def _age_seconds(path: Path) -> float:
    """How long ago a file was begun, by its name; nought where the name or the clock does not tell."""
    try:
        begun = timegm(time.strptime(path.name.partition("-")[0], _STAMP))
    except ValueError:
        return 0.0
    return max(0.0, time.time() - begun)


def sync_folder(folder: Path) -> None:
    """A new name holds only when its folder is synced too (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
