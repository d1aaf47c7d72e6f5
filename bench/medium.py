"""Bytes that reach the medium: sectors written to a block device that holds nothing but the contestant's files.

The kernel's account of a process (`dirtied B` elsewhere) knows neither the file system's journal nor what was deleted
before it was written. Here the contestant keeps its files on an ext4 of its own, in an image on a loop device, and
`/sys/block/loopN/stat` (Documentation/block/stat.rst, field 7, sectors of 512 bytes) tells what arrived there, after a
sync at the end. Needs root.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cases import MOST_SECONDS, Numbers, warm_up
from contest import Contestant
from measure import cost
from places import wait_for
from processes import Part, program

RATES = (5_000, 50_000)
_IMAGE_BYTES = 4 << 30  # sparse
_SECTOR_BYTES = 512


@contextmanager
def file_system(folder: Path) -> Iterator[Path]:
    """Mount an empty ext4 on a loop device.

    Raises:
        FileNotFoundError: this machine lets nobody do so, with the reason.
    """
    image, place = folder / "medium.img", folder / "medium"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    try:
        make = [program("mkfs.ext4"), "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)]
        subprocess.run(make, check=True, capture_output=True)
        subprocess.run(
            [program("mount"), "-o", "loop,noatime", str(image), str(place)], check=True, capture_output=True
        )
    except subprocess.CalledProcessError as error:
        image.unlink()
        raise FileNotFoundError(f"no loop device: {error.stderr.decode(errors='replace').strip()}") from error
    try:
        yield place
    finally:
        subprocess.run([program("umount"), str(place)], check=True)
        image.unlink()


def _written(place: Path) -> int:
    """Bytes that arrived at the device on which a path lies, after everything of it was synced."""
    subprocess.run([program("sync"), "-f", str(place)], check=True)
    device = place.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text(encoding="ascii").split()
    return int(stat[6]) * _SECTOR_BYTES


def _has(contestant: Contestant, goal: int) -> bool:
    return contestant.far_end.delivered() >= goal


def written(contestant: Contestant, source: Part, *, seconds: float) -> Numbers:
    """Bytes an event at the device, and as the kernel's account of the process has them, at two rates."""
    found: Numbers = {}
    for rate in RATES:
        goal = warm_up(contestant, source, count=rate, rate=rate) + int(rate * seconds)
        device, process = _written(contestant.store), cost(contestant.pid)
        generated = source.ask(count=int(rate * seconds), rate=rate)
        wait_for(partial(_has, contestant, goal), seconds=MOST_SECONDS, what="all is delivered")
        events = int(generated["sent"])
        used = cost(contestant.pid).since(process)
        found |= {
            f"medium B at {rate}/s": (_written(contestant.store) - device) / events,
            f"dirtied B at {rate}/s": used.write_bytes / events,
            f"held rate at {rate}/s": events / generated["seconds"],
        }
    return found
