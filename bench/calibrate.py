"""How fast the machine is at this moment: two fixed pieces of work, each the best of several tries, in us.

A small rented machine may be 1.5 times slower an hour later. Where these two differ between the head and the end of
a run, so may everything between them; numbers of two runs are comparable as far as these are.
"""

import time
from collections.abc import Callable

import zstandard
from lines import lines

_TRIES = 15
_LOOP = 50_000
_LINES = 1_000


def _loop() -> int:
    total = 0
    for n in range(_LOOP):
        total += n & 7
    return total


def _best(work: Callable[[], object]) -> float:
    found = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return round(1e6 * min(found), 1)


def calibrate() -> dict[str, float]:
    """Time a Python loop of 50,000 turns, and zstd level 1 on 1,000 lines of the mix `servers`."""
    data = b"\n".join(lines(_LINES, start=0.0))
    compress = zstandard.ZstdCompressor(level=1).compress
    return {"python loop us": _best(_loop), "zstd us": _best(lambda: compress(data))}
