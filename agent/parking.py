"""Why a batch is parked, in one word, in words for a person, and what to do about it.

The words are persisted, so they stay as they are; they are explained in `docs/status.md`. Nothing is imported here, so
that `edgepost status` starts fast.
"""

from typing import Final

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
