"""Which clock this is: the boot it belongs to, how long that boot runs, and whether anybody keeps it right.

A gateway's clock may be wrong at boot, so order and names never depend on it; the head of a batch carries these
three instead, and the center can put the times right afterwards.
"""

import ctypes
import time
import uuid
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 512  # struct timex is 208 bytes on 64-bit Linux; the rest is room
_libc = ctypes.CDLL(None, use_errno=True)


def boot_id() -> bytes:
    """Give the 16 bytes of this boot's id, all zero where the kernel tells none."""
    try:
        return uuid.UUID(_BOOT_ID.read_text(encoding="ascii").strip()).bytes
    except (OSError, ValueError):
        return bytes(16)


def since_boot_ns() -> int:
    """Nanoseconds since boot, sleep included: CLOCK_BOOTTIME, which no clock step moves."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def clock_state() -> str:
    """Tell whether the kernel holds this clock to be right: `synced`, `unsynced` or `unknown` (adjtimex(2))."""
    state = int(_libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    if state < 0:
        return "unknown"
    return "unsynced" if state == _TIME_ERROR else "synced"
