"""Receipts: the next hop's word, batch by batch.

    [1, group, [[epoch, lane, seq, digest, outcome, reason], ...]]    MessagePack, one message per sender and commit

`committed` and `repeat` end custody; `rejected` ends it too, the receiver keeps the bytes; `later` and `refused` do
not. A sender acts only on a name it has in flight with an equal digest (`docs/wire-format.md`, section "Receipts").
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from wire.decode import LIMIT, UNDECODABLE, Refused, read_bytes, read_integer, read_name, read_text, unpack
from wire.names import EPOCH_BYTES, LANES, MAX_SEQ, BatchName

Outcome = Literal["committed", "repeat", "later", "refused", "rejected"]

COMMITTED: Final = "committed"
REPEAT: Final = "repeat"
LATER: Final = "later"
REFUSED: Final = "refused"
REJECTED: Final = "rejected"
OUTCOMES: Final = frozenset({COMMITTED, REPEAT, LATER, REFUSED, REJECTED})
FINAL_OUTCOMES: Final = frozenset({COMMITTED, REPEAT, REJECTED})  # these end custody

VERSION: Final = 1
MAX_RECEIPTS: Final = 10_000
MAX_MESSAGE: Final = 1 << 20
DIGEST_BYTES: Final = 16
_MAX_TEXT: Final = 256
_FIELDS: Final = 6

_encode = msgspec.msgpack.Encoder().encode


class Receipt(NamedTuple):
    """What became of one batch at the next hop. `reason` is a word, for `refused` and `rejected` only."""

    name: BatchName
    digest: bytes
    outcome: str
    reason: str | None = None


def encode_receipts(group: str, receipts: Sequence[Receipt]) -> bytes:
    """Encode the receipts of one commit for one sender; at most `MAX_RECEIPTS`."""
    return _encode((VERSION, group, [(*receipt.name, *receipt[1:]) for receipt in receipts]))


def decode_receipts(payload: bytes) -> tuple[str, list[Receipt]]:
    """Read a message of receipts: the receiver's group and its words, without those whose outcome is unknown.

    Raises:
        Refused: the message is not whole or not of this version.
    """
    if len(payload) > MAX_MESSAGE:
        raise Refused(LIMIT, "the receipts are larger than 1 MiB")
    parts = unpack(payload, array=MAX_RECEIPTS, text=_MAX_TEXT)
    if not isinstance(parts, list) or len(parts) != 3 or parts[0] is not VERSION:
        raise Refused(UNDECODABLE, "not receipts of version 1")
    _, group, entries = parts
    if not isinstance(entries, list):
        raise Refused(UNDECODABLE, "not [1, group, receipts]")
    receipts = [_read(entry) for entry in entries]
    return read_name(group, "group"), [receipt for receipt in receipts if receipt.outcome in OUTCOMES]


def _read(entry: Any) -> Receipt:
    if not isinstance(entry, list) or len(entry) != _FIELDS:
        raise Refused(UNDECODABLE, "a receipt is not [epoch, lane, seq, digest, outcome, reason]")
    epoch, lane, seq, digest, outcome, reason = entry
    name = BatchName(
        read_bytes(epoch, "epoch", EPOCH_BYTES),
        read_integer(lane, "lane", range(len(LANES))),
        read_integer(seq, "seq", range(1, MAX_SEQ + 1)),
    )
    reason = None if reason is None else read_name(reason, "reason")
    return Receipt(name, read_bytes(digest, "digest", DIGEST_BYTES), read_text(outcome, "outcome"), reason)
