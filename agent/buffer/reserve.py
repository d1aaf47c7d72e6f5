"""Room of our own on the disk: a file beside the store, given up when the disk is full.

Measured: on a full disk DELETE and checkpoint fail too, so a store that fills its disk could never be tidied without
a little room to do it in.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Disk(NamedTuple):
    """A file system, in bytes."""

    size: int
    free: int


def disk_of(folder: Path) -> Disk:
    """Ask the file system of a folder; `free` is what an ordinary user may take."""
    stat = os.statvfs(folder)
    return Disk(stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize)


class Reserve:
    """The file `reserve`."""

    def __init__(self, folder: Path, size: int) -> None:
        self._path = folder / "reserve"
        self._size = size

    @property
    def size(self) -> int:
        """Bytes set aside now."""
        with suppress(OSError):
            return self._path.stat().st_size
        return 0

    def keep(self, disk: Disk, *, keep_free: int) -> None:
        """Make it if it is not there and the disk has room for it."""
        if self.size >= self._size or disk.free < keep_free + self._size:
            return
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()  # tried again with the next look at the disk

    def release(self) -> None:
        """Give the room back."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
