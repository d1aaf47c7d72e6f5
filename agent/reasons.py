"""What rows are lost by inside the agent, and what to do; a collector's own reasons stand in `collectors/registry.py`.

Everything that tells of losses (status, health, the stream `agent`, the demo) goes by a reason's unit and by whether
data was lost, so nothing else needs to know a single one.
"""

from typing import Final

from collectors.sink import Reason

_WAY: Final = "raise `buffer.limit_bytes`, or mend the way to the center: edgepost ping"
_DAMAGE: Final = "check disk, memory and power: dmesg; smartctl -a; keep the files that were set aside"
_RECEIVER: Final = "the receiver keeps the bytes in `refused/` beside its sink; its journal says why"

INTAKE_FULL: Final = Reason(
    "intake-full",
    unit="rows",
    is_loss=True,
    remedy="the disk cannot keep up: look at the buffer's commit time above and at `iostat -x 2`",
)
CRASH: Final = Reason(
    "crash", unit="times", is_loss=True, remedy="journalctl -u edgepost -n 50 has the error: a bug, please report it"
)
OF_COLLECTING: Final = (INTAKE_FULL, CRASH)
"""Of every collector, whatever it is: counted by the agent on its behalf."""

CHANGED: Final = (Reason("shrunk", unit="rows", is_loss=False), Reason("mended", unit="rows", is_loss=False))
"""Of rows, by their stream, that were changed to fit the wire: cut down, or with a value that no format can hold."""

OF_CUSTODY: Final = tuple(
    Reason(name, unit="rows", is_loss=True, remedy=remedy)
    for name, remedy in (
        ("evicted-limit", f"the buffer was full: {_WAY}"),
        ("evicted-disk-full", "the disk was full: df -h; free space, or mend the way to the center: edgepost ping"),
        ("memory-full", "the disk is away, and memory was full: see the problem of the buffer"),
        ("rot", f"bytes on disk changed: {_DAMAGE}"),
        ("corrupt", f"the buffer's file was damaged: {_DAMAGE}"),
        ("rejected-undecodable", f"{_RECEIVER}; is it older than this agent?"),
        ("rejected-limit", f"{_RECEIVER}; lower `buffer.message_bytes`"),
        ("rejected-conflict", "two agents use one name, or a store was copied: give each agent its own"),
        ("rejected-unknown", _RECEIVER),
    )
)
"""Of rows in our custody: they stand in the account as `dropped:NAME`."""

_CUSTODY: Final = {reason.name: reason for reason in OF_CUSTODY}


def of_custody(name: str) -> Reason | None:
    """Find why rows in our custody were lost; None for what a collector counts."""
    if name in _CUSTODY:
        return _CUSTODY[name]
    is_word_of_a_receiver = name.startswith("rejected-")  # a later receiver may know more of them
    return Reason(name, unit="rows", is_loss=True, remedy=_RECEIVER) if is_word_of_a_receiver else None


def undeclared(name: str) -> Reason:
    """Stand in for a reason that its collector forgot to declare: better told as a loss than not at all."""
    return Reason(name, unit="times", is_loss=True)
