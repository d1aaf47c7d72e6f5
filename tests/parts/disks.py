"""Disks that fail: at steps of the store, or for real, as a small file system that somebody else fills."""

import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IO, FULL, READ_ONLY, CANTOPEN, WRITE_FAILED, SYNC_FAILED = 10, 13, 8, 14, 778, 1034  # SQLite's result codes
CORRUPT = 11
MIB = 1 << 20
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where a sync costs nothing


def sqlite_error(code: int, text: str = "injected") -> sqlite3.OperationalError:
    """An error as Python's sqlite3 raises it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Broken:
    """The hook of a store whose disk fails at one step, or at all of them, once or until it is mended."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.at: str | None = None
        self.is_once = False

    def __call__(self, step: str) -> None:
        if self.code is not None and self.at in {None, step}:
            code = self.code
            if self.is_once:
                self.code = None
            raise sqlite_error(code, f"injected at {step}")

    def fail(self, code: int, at: str | None = None, *, is_once: bool = False) -> None:
        self.code, self.at, self.is_once = code, at, is_once

    def mend(self) -> None:
        self.code = None


def probe_that_says(name: str, is_broken: Callable[[], bool]) -> Callable[..., int]:
    """`os.open` that fails with an errno for the small file by which the keeper asks the disk itself."""
    real, number = os.open, getattr(errno, name)

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("/probe") and is_broken():
            raise OSError(number, os.strerror(number))
        return real(path, *args, **kwargs)

    return opened


# --- a real small file system, for tests marked `root` ---------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[Path]:
    """A tmpfs of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    """Make it `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def fill_disk(folder: Path) -> None:
    """Take every byte that is left."""
    with (folder / "somebody-elses").open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def free_disk(folder: Path) -> None:
    """Give all of it back."""
    (folder / "somebody-elses").unlink()
