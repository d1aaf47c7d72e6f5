"""Behind `edgepost parse`: what the rules make of one row after another, and which of them hit it."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from agent.rules.apply import Hit, Rules
from agent.rules.chunk import Row
from collectors.sink import Lane, Stream


class Ruled(NamedTuple):
    """One row after the rules.

    Attributes:
        lane: None if it was dropped; then `row` is as it was when that happened.
        why: the collector's reasons.
        hits: the rules that hit it, in their order; None where there are no rules.
    """

    stream: Stream
    lane: Lane | None
    row: Row
    why: tuple[str, ...]
    hits: tuple[Hit, ...] | None


def after_rules(explained: Iterable[Any], rules: Rules | None) -> Iterator[Ruled]:
    """Take what a collector's `parse` explains through the rules, row by row, so that `sample` and `limit` count on."""
    for stream, lane, row, why in explained:
        if rules is None:
            yield Ruled(stream, lane, row, why, None)
            continue
        hits: list[Hit] = []
        done = rules.sort(stream, [row], lane, on_hit=hits.append)
        if done.kept:
            (into, (kept,)), *_ = done.kept
            yield Ruled(stream, Lane(into), kept, why, tuple(hits))
        else:
            yield Ruled(stream, None, done.dropped[0], why, tuple(hits))
