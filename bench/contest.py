"""What a case asks of a contestant when it is started, and what a contestant answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

LARGE_BUFFER = 8 << 20
DEFAULT_BUFFER = 212_992 // 2  # net.core.rmem_default: what a socket has that asks for nothing (the kernel doubles it)


@dataclass(frozen=True)
class Setup:
    """Where a contestant keeps its files and by what it is limited.

    Attributes:
        folder: its own files.
        beside: files of what stands behind it (sink, broker, receiver).
        cores: those it may use.
        receive_buffer: of UDP, asked of the kernel.
        has_far_end: whether what stands behind it is there from the start.
    """

    folder: Path
    beside: Path
    cores: frozenset[int]
    receive_buffer: int = LARGE_BUFFER
    has_far_end: bool = True


class FarEnd(Protocol):
    """What stands behind a contestant."""

    def start(self) -> None:
        """Start it."""

    @property
    def beside(self) -> dict[str, int]:
        """Pids whose cost is printed beside, by what they are."""

    def ask(self) -> dict[str, Any]:
        """At least `late_ms` (median, p99, maximum) of the stamped lines since the last question."""

    def delivered(self) -> int:
        """Lines delivered since the start, in the sense of the contestant's promise."""

    def wire(self) -> tuple[int, int]:
        """Bytes and lines sent over the network so far."""

    def stop(self) -> None:
        """End it."""


class Contestant(Protocol):
    """One of those that are compared, running."""

    name: str
    port: int
    store: Path

    @property
    def pid(self) -> int:
        """Of its first process; children are counted with it."""

    @property
    def far_end(self) -> FarEnd:
        """What stands behind it."""

    def counted_lost(self) -> int | None:
        """Every loss that it says it had; None: it says nothing."""

    def stop(self) -> None:
        """End everything, the near end first."""
