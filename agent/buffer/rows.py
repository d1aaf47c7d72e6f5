"""What passes between intake, buffer and forward: sealed batches, held batches, and the settings."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Final, NamedTuple

import msgspec

from agent.parking import ROT
from wire.names import BatchName

__all__ = ["KEY_BITS", "ROT", "BufferSettings", "Changes", "Done", "Held", "NotRead", "Origin", "Packed", "Sealed"]

KEY_BITS: Final = 48  # a batch's key in the store: lane << 48 | n, so one B-tree holds three queues


class BufferSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the buffer may take.

    Attributes:
        limit_bytes: most bytes on disk; then the oldest of the lowest lane above its share is evicted, and declared.
        keep_free_percent: of the file system, never less than 64 MiB; below it the buffer does not grow.
        memory_bytes: most bytes held in memory while the disk fails.
        message_bytes: most bytes of one batch after compression; a larger one is halved by rows.
    """

    limit_bytes: Annotated[int, msgspec.Meta(ge=16 << 20)] = 2 << 30
    keep_free_percent: Annotated[int, msgspec.Meta(ge=0, le=90)] = 5
    memory_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 32 << 20
    message_bytes: Annotated[int, msgspec.Meta(ge=4 << 10, le=900 << 10)] = 128 << 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose rows these are: agent, site, and the 16 bytes of the machine's boot id."""

    agent: str
    site: str
    boot: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """Rows of one stream and lane, encoded, not yet compressed nor named.

    `body` is a MessagePack array of row arrays; first_ns and last_ns are receipts of rows.
    """

    stream: str
    columns: tuple[tuple[str, str], ...]
    lane: int
    rows: int
    body: bytes
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A sealed batch, its body compressed, still without a name; a single row may have been shrunk."""

    stream: str
    columns: tuple[tuple[str, str], ...]
    lane: int
    rows: int
    body: bytes
    first_ns: int
    last_ns: int
    is_shrunk: bool = False


class Held(NamedTuple):
    """One committed batch, as the forwarder takes it. `key` orders it within its lane."""

    name: BatchName
    key: int
    stream: str
    rows: int
    digest: bytes
    head: bytes
    body: bytes
    committed_ns: int

    @property
    def size(self) -> int:
        """Bytes of head and body."""
        return len(self.head) + len(self.body)


class NotRead(Enum):
    """Why a batch could not be read again."""

    ROT = "rot"  # its bytes no longer match their digest: set aside, declared
    GONE = "gone"  # evicted, ended, or parked meanwhile
    FAULT = "fault"  # the disk fails: nobody knows


class Victim(NamedTuple):
    """A batch that has to go, known by its row alone."""

    name: BatchName
    key: int
    rows: int
    size: int
    committed_ns: int
    is_rotten: bool


class Done(NamedTuple):
    """The end of a batch's custody: `what` is `confirmed` or `dropped:<reason>`."""

    held: Held
    what: str


@dataclass(slots=True)
class Changes:
    """What rides on one transaction beside the new batches.

    Attributes:
        marks: (collector, key) → position.
        done: key of a batch → what its rows become in the account.
        counts: (stream, what) → rows that never became a batch, or whose batch never reached the disk.
    """

    marks: dict[tuple[str, str], bytes] = field(default_factory=dict)
    done: dict[int, str] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.marks or self.done or self.counts)

    def add(self, other: "Changes") -> None:
        """Take over what another one holds; its marks are the later ones."""
        self.marks.update(other.marks)
        self.done.update(other.done)
        self.counts.update(other.counts)

    def count(self, stream: str, what: str, rows: int) -> None:
        """Count rows that end without ever having been in the store: received, and at once `what`."""
        self.counts[stream, "received"] += rows
        self.counts[stream, what] += rows
