"""Receipts: the next hop's word, batch by batch. Custody ends with it, never before.

[1, group, [[epoch, lane, seq, digest, outcome, reason], ...]]      `docs/wire-format.md`, section "Receipts"
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from wire.batch import DIGEST_BYTES, MAX_PAYLOAD, Refused, unpack
from wire.names import EPOCH_BYTES, MAX_SEQ, BatchName, is_name

VERSION: Final = 1
COMMITTED: Final = "committed"
REPEAT: Final = "repeat"
LATER: Final = "later"
REFUSED: Final = "refused"
REJECTED: Final = "rejected"
OUTCOMES: Final = frozenset({COMMITTED, REPEAT, LATER, REFUSED, REJECTED})
MAX_REASON: Final = 64

_encode = msgspec.msgpack.Encoder().encode


class Receipt(NamedTuple):
    """What became of one batch at the receiver. A sender acts only where name and digest are those in flight."""

    name: BatchName
    digest: bytes
    outcome: str
    reason: str | None = None


def encode_receipts(group: str, receipts: Sequence[Receipt]) -> bytes:
    """Put the receipts of one commit group for one sender into one message."""
    said = [(*receipt.name, receipt.digest, receipt.outcome, receipt.reason) for receipt in receipts]
    return _encode((VERSION, group, said))


def decode_receipts(payload: bytes) -> tuple[str, list[Receipt]]:
    """Read a message of receipts to the receiver's group and its receipts.

    Raises:
        Refused: anything else.
    """
    match unpack(payload, MAX_PAYLOAD):
        case [1, str(group), [*said], *_] if is_name(group):
            return group, [_read(entry) for entry in said]
    raise Refused("undecodable", "not [1, group, receipts]")


def _read(entry: Any) -> Receipt:
    match entry:
        case [bytes(epoch), int(lane), int(seq), bytes(digest), str(outcome), (str() | None) as reason, *_]:
            sized = len(epoch) == EPOCH_BYTES and len(digest) == DIGEST_BYTES and len(reason or "") <= MAX_REASON
            if sized and 0 <= lane <= 2 and 1 <= seq <= MAX_SEQ and outcome in OUTCOMES:
                return Receipt(BatchName(epoch, lane, seq), digest, outcome, reason)
    raise Refused("undecodable", "not a receipt")
