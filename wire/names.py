"""Names: who sent, which stream, and which batch exactly.

A batch is named by the transaction that commits it: `(epoch, lane, seq)`. The epoch is drawn anew at every
opening of a store, so a store restored from a backup or cloned with its machine can never reuse a name for other
bytes (`docs/wire-format.md`, section "Names").
"""

import re
from typing import Final, NamedTuple

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
# consumers read columns as fields of their own language, so underscores and no dashes
COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
RESERVED_COLUMNS: Final = frozenset({"stream", "site", "agent", "epoch", "lane", "seq", "row"})  # the envelope's keys
EPOCH_BYTES: Final = 16
MAX_SEQ: Final = (1 << 48) - 1  # a lane's key in the store is lane << 48 | n
LANES: Final = ("urgent", "normal", "bulk")  # index = the lane's number on the wire


class BatchName(NamedTuple):
    """The name of one batch, unique for ever.

    `epoch` is 16 random bytes, `lane` 0 to 2, `seq` counts 1, 2, 3 within epoch and lane without gaps.
    """

    epoch: bytes
    lane: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch.hex()}/{LANES[self.lane]}/{self.seq}"


def is_name(text: object) -> bool:
    """Tell whether `text` may name an agent, a site, a stream or a receiver's group.

    Such a name is safe in a topic, in a path and on a screen, which is why every receiver checks it before use.
    """
    return isinstance(text, str) and NAME.fullmatch(text) is not None
