"""The rules of custody, each a small function, so that a test can swap one for a wrong one and see it caught.

What exists as code of the product is used as it is: names, heads, payloads, digests and receipts of `wire/`, and the
window of `agent/forward/`, which says what a receipt means. The rules here are those of parties that have a disk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from wire.names import BatchName
from wire.receipts import COMMITTED, REJECTED, REPEAT

Key = tuple[BatchName, bytes]
"""Name and digest: one batch and no other."""


def draw_epoch(_store_id: bytes, chance: Random) -> bytes:
    """A new epoch at every opening."""
    return chance.randbytes(16)


def keep_store_id(store_id: bytes, _chance: Random) -> bytes:
    """Wrong: a store is named once and for ever; with its row numbers that names a batch, until a backup is read."""
    return store_id


def judge_by_digest(known: bytes | None, digest: bytes) -> tuple[str, str | None]:
    """The last hop: same name and digest is a repeat, another digest a conflict."""
    if known is None:
        return COMMITTED, None
    return (REPEAT, None) if known == digest else (REJECTED, "conflict")


def judge_by_name(known: bytes | None, _digest: bytes) -> tuple[str, str | None]:
    """Wrong: whoever has the name has the bytes."""
    return (COMMITTED, None) if known is None else (REPEAT, None)


def judge_by_nothing(_known: bytes | None, _digest: bytes) -> tuple[str, str | None]:
    """Wrong: no memory of names."""
    return COMMITTED, None


@dataclass(frozen=True)
class Rules:
    """What every party of a world goes by; the defaults are right.

    Attributes:
        epoch: of a store at its opening, from the store's id.
        judge: what the last hop says to a batch, from the digest it knows under that name, or None.
        receipt_after_commit: else a hop receipts what it has only in memory.
        needs_receipt: else a PUBACK ends custody.
        needs_digest: else a sender believes a receipt that has the right name.
        commits_at_once: else the last hop commits its memory of names before its sink.
        declares: else what is evicted is just gone.
        reads_conflicts: else declarations in a batch that is rejected for conflict are only kept as bytes.
        keeps_greatest: else the last hop believes the newest state, not the greatest seq it ever heard.
    """

    epoch: Callable[[bytes, Random], bytes] = draw_epoch
    judge: Callable[[bytes | None, bytes], tuple[str, str | None]] = judge_by_digest
    receipt_after_commit: bool = True
    needs_receipt: bool = True
    needs_digest: bool = True
    commits_at_once: bool = True
    declares: bool = True
    reads_conflicts: bool = True
    keeps_greatest: bool = True


RIGHT = Rules()
WRONG = {
    "names are store id and row number": Rules(epoch=keep_store_id, judge=judge_by_name),
    "a repeat is known by its name alone": Rules(judge=judge_by_name),
    "no memory of names": Rules(judge=judge_by_nothing),
    "a receipt before the commit": Rules(receipt_after_commit=False),
    "custody ends with the PUBACK": Rules(needs_receipt=False),
    "a receipt is believed whatever its digest": Rules(needs_digest=False),
    "names are committed before the sink": Rules(commits_at_once=False),
    "an eviction is not declared": Rules(declares=False),
    "declarations in a conflict are not read": Rules(reads_conflicts=False),
    "the newest state replaces the greatest seq": Rules(keeps_greatest=False),
}
