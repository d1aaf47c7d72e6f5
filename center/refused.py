"""The bytes of what is not taken, kept in `refused/` beside the sink: for a person to look into, and bounded.

    refused/<UTC>-<n>.refused    MessagePack: [when (ns UTC), reason, topic, payload], one after the other

They are written like a sink's files, synced once a commit and cut back to the committed position at a restart, so a
`rejected` receipt is as good as a `committed` one. Beyond `LIMIT_BYTES`, or `LIMIT_FILES`, the oldest file goes, and
what it held is counted by reason: first counted, then taken away, so that a kill between the two counts nothing twice.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from center.sinks.files import Files

FOLDER: Final = "refused"
SUFFIX: Final = ".refused"
LIMIT_BYTES: Final = 256 << 20
FILE_BYTES: Final = 16 << 20
LIMIT_FILES: Final = 64
UNREADABLE: Final = "unreadable"  # the reason of what a damaged file held
_MAX_TOPIC: Final = 1024
_MAX_ENTRY: Final = 4 << 20  # a payload of 1 MiB is refused as `limit`, and the client takes packets of 2 MiB
log = logging.getLogger("edgepost.center")


class Tally(NamedTuple):
    """Payloads and their bytes."""

    payloads: int = 0
    bytes: int = 0

    def plus(self, size: int) -> "Tally":
        """One payload more."""
        return Tally(self.payloads + 1, self.bytes + size)


Tallies = dict[str, Tally]
"""By reason."""


class RefusedFiles:
    """Owns the files of `refused/`; what was kept since the last `take` is told by reason."""

    def __init__(
        self,
        folder: Path,
        *,
        positions: Mapping[str, int],
        limit_bytes: int = LIMIT_BYTES,
        limit_files: int = LIMIT_FILES,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self._folder = folder / FOLDER
        self._room_bytes = limit_bytes - 2 * file_bytes  # of what is finished: the open file may be over by one commit
        self._limit_files = limit_files
        self._kept: Tallies = {}
        self._files = Files(folder, SUFFIX, positions=positions, rotate_bytes=file_bytes, rotate_seconds=None)

    def keep(self, payload: bytes, *, reason: str, topic: str) -> None:
        """Write one payload; it holds after `sync`."""
        entry: bytes = msgpack.packb([time.time_ns(), reason, topic[:_MAX_TOPIC], payload])
        self._files.write(FOLDER, entry)
        self._kept[reason] = self._kept.get(reason, Tally()).plus(len(payload))

    def sync(self) -> dict[str, int]:
        """Make it durable; give the position of the open file if it has grown."""
        return self._files.sync()

    def take(self) -> Tallies:
        """Give what was kept since the last time."""
        kept, self._kept = self._kept, {}
        return kept

    def rotate(self) -> list[str]:
        """Finish the open file when it is large enough."""
        return self._files.rotate()

    def beyond(self) -> list[Path]:
        """The oldest finished files beyond the limits."""
        finished = sorted(self._folder.glob(f"*{SUFFIX}"), reverse=True)
        total = 0
        for number, path in enumerate(finished):
            total += path.stat().st_size
            if number >= self._limit_files or total > self._room_bytes:
                return finished[number:][::-1]
        return []

    def close(self) -> None:
        """Leave the open file for the next start."""
        self._files.close()


def count_file(path: Path) -> Tallies:
    """Count what a file holds, by reason; what cannot be read any more is one payload, `unreadable`."""
    tallies: Tallies = {}
    size = path.stat().st_size
    try:
        for _, reason, _, payload in read_refused(path):
            tallies[reason] = tallies.get(reason, Tally()).plus(len(payload))
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        tallies[UNREADABLE] = Tally(1, size)
    return tallies


def read_refused(path: Path) -> Iterator[tuple[int, str, str, bytes]]:
    """Read a file back: when, reason, topic and payload of each.

    Raises:
        ValueError, msgpack.exceptions.UnpackException: the file is damaged.
    """
    with path.open("rb") as file:
        entry: Any
        for entry in msgpack.Unpacker(file, max_buffer_size=2 * _MAX_ENTRY, max_bin_len=_MAX_ENTRY):
            when, reason, topic, payload = entry
            yield when, reason, topic, payload
