"""One agent per store: a lock file beside it, held as long as the process lives (flock(2)).

SQLite's own lock keeps the file safe; this one is for a clear word with the other's pid.
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.buffer.faults import StateDirFailed, StoreHeld

_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


def hold(folder: Path) -> int | None:
    """Make the state directory and lock it; give the lock's descriptor, None where the disk takes no lock file.

    Raises:
        StoreHeld: another agent holds it.
        StateDirFailed: it cannot be made or entered. A failing disk is a state, not an error.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as error:
        if error.errno not in _DISK or not folder.is_dir():
            raise StateDirFailed(f"{folder}: {error.strerror}; make it, owned by the agent's user") from error
        try:
            descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)  # enough to lock it
        except OSError:
            return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreHeld(f"{folder} is held by another agent (pid {holder}); stop it first") from None
    with suppress(OSError):  # the pid is a courtesy
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
