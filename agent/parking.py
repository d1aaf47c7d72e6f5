"""Why batches are parked: words that are persisted and shown, and what to do about each.

Nothing is imported here, so that `edgepost status` starts fast.
"""

from typing import Final

ROT: Final = "rot"  # the bytes no longer match their digest: declared as dropped, never sent
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
"""In words, and what to do; rot is declared as a loss, and no remedy brings it back."""
