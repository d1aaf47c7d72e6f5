"""Reasons in one word: why rows are lost, changed or kept back, and what to do about each.

The words are counted, persisted and sent, so they stay as they are; they are explained in `docs/status.md`. Nothing is
imported here, so that `edgepost status` starts fast.
"""

from typing import Final

HARMLESS: Final = frozenset({"empty", "cut", "idle-connection", "urgent-limit", "shrunk", "mended"})
"""Counted and shown, but no rows were lost by it: nothing was there, a part was cut off, a lane or a value changed."""

LOSS_REMEDIES: Final = {
    "kernel": "raise `receive_buffer_bytes` of the listener, and sysctl net.core.rmem_max to the same",
    "intake-full": "the disk cannot keep up: look at the buffer's commit time above and at `iostat -x 2`",
    "evicted": "the buffer was full: raise `buffer.limit_bytes`, or mend the way to the center (edgepost ping)",
    "connection-limit": "raise `max_connections` of the listener, or find who opens so many: ss -tnp",
    "read-budget": "TCP senders fill all read buffers: lower `max_connections`, or find who sends without end: ss -tnp",
    "memory-full": "the disk is away: see the problem of the buffer",
}
"""By a part of the reason."""

ROT: Final = "rot"  # the bytes no longer match their digest: parked, declared as dropped, never sent
LOST_ALONE: Final = "lost-alone"
REFUSED: Final = "refused"
TOO_LARGE: Final = "too-large"
UNANSWERED: Final = "unanswered"

PARKED: Final = {
    TOO_LARGE: (
        "too large for the broker",
        "raise its maximum packet size (mosquitto: `max_packet_size`), or lower `buffer.message_bytes` for new ones",
    ),
    LOST_ALONE: ("lost with the connection even when sent alone", "read why in the broker's log"),
    REFUSED: (
        "arrived broken twice",
        "look for what changes bytes on the way (a bridge, bad memory): the receiver's journal",
    ),
    UNANSWERED: (
        "never answered while others were",
        "look for them in the broker's log (message_size_limit?) and in the receiver's `refused` folder",
    ),
}
"""Why batches are parked: in words, and what to do."""
