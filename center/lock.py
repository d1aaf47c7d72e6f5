"""One receiver per folder: a lock file in it, held as long as the process lives (flock(2)).

SQLite's lock keeps `receive.db` whole; this one keeps a second receiver from the sink's files and the socket as well,
also while the first has closed its memory because the disk fails.
"""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

NAME: Final = "receive.lock"  # with a dot, so that no stream's folder can have its name


class FolderHeld(Exception):
    """Another receiver works on this folder."""


def hold(folder: Path) -> int:
    """Lock a folder; give the descriptor that holds the lock.

    Raises:
        FolderHeld: another receiver holds it.
        OSError: the folder cannot be used.
    """
    descriptor = os.open(folder / NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            text = f"another receiver works on {folder} (pid {holder}); stop it, or give another `dir`"
            raise FolderHeld(text) from None
        stack.pop_all()
    with suppress(OSError):  # the pid is a courtesy
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def release(descriptor: int) -> None:
    """Let a folder go; the file stays, so that the lock is always on the same one."""
    os.close(descriptor)
