"""What a rule does to the rows it hits: one function an action, made once per rule and stream.

Each takes a chunk and the indices of its hits. `sample` and `limit` remember how many rows each key has had.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from agent.rules.chunk import Chunk, Row
from agent.rules.masks import mask_of
from agent.rules.settings import Rule
from agent.rules.streams import place_of
from collectors.sink import Lane, Stream

Act = Callable[[Chunk, Sequence[int]], None]
KEYS: Final = 65_536  # counted apart by one rule; then counted anew: made-up keys must not fill the memory
RECEIVED: Final = 1  # its place in every stream


def action(rule: Rule, stream: Stream) -> Act:
    """Make what a rule does to its hits in one stream."""
    return _ACTIONS[rule.do](rule, stream)


def _drop(_rule: Rule, _stream: Stream) -> Act:
    return Chunk.drop


def _keep(_rule: Rule, _stream: Stream) -> Act:
    return Chunk.end


def _lane(rule: Rule, _stream: Stream) -> Act:
    lane = Lane[str(rule.lane).upper()]
    return lambda chunk, hits: chunk.put_in_lane(hits, lane)


def _sample(rule: Rule, stream: Stream) -> Act:
    """Keep the first of every N rows of a key."""
    key_of, every = _key(rule, stream), rule.one_of or 1
    had: dict[int, int] = {}

    def sample(chunk: Chunk, hits: Sequence[int]) -> None:
        left_out = []
        for hit in hits:
            key = key_of(chunk.rows[hit])
            before = had.get(key, 0)
            had[key] = (before + 1) % every
            if before:
                left_out.append(hit)
        chunk.drop(left_out)
        if len(had) > KEYS:
            had.clear()

    return sample


def _limit(rule: Rule, stream: Stream) -> Act:
    """Keep the first N rows of a key in each second of receipt."""
    key_of, most = _key(rule, stream), rule.rows_per_second or 0
    had: dict[int, int] = {}
    now = -1

    def limit(chunk: Chunk, hits: Sequence[int]) -> None:
        nonlocal now
        second = chunk.rows[hits[0]][RECEIVED] // 1_000_000_000
        if second != now or len(had) > KEYS:
            now = second
            had.clear()
        over = []
        for hit in hits:
            key = key_of(chunk.rows[hit])
            before = had.get(key, 0)
            if before < most:
                had[key] = before + 1
            else:
                over.append(hit)
        chunk.drop(over)

    return limit


def _mask(rule: Rule, stream: Stream) -> Act:
    masked = mask_of(rule, stream)

    def mask(chunk: Chunk, hits: Sequence[int]) -> None:
        for hit, row in zip(hits, masked([chunk.rows[hit] for hit in hits]), strict=True):
            chunk.rows[hit] = row

    return mask


def _key(rule: Rule, stream: Stream) -> Callable[[Row], int]:
    """Give what a row is counted by, as a hash: texts may be long; without `per` all are counted together."""
    places = [place_of(stream, column) for column in rule.per]
    if not places:
        return lambda _: 0
    values_of = itemgetter(*places)

    def key(row: Row) -> int:
        values = values_of(row)
        try:
            return hash(values)
        except TypeError:  # a collector's slip: this column should hold texts or numbers
            return hash(repr(values))

    return key


_ACTIONS: Final[dict[str, Callable[[Rule, Stream], Act]]] = {
    "drop": _drop,
    "keep": _keep,
    "lane": _lane,
    "sample": _sample,
    "limit": _limit,
    "mask": _mask,
}
