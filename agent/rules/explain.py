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
    for one in explained:
        if rules is None:
            yield Ruled(one.stream, one.lane, one.row, one.why, None)
            continue
        hits: list[Hit] = []
        done = rules.sort(one.stream, [one.row], one.lane, on_hit=hits.append)
        if done.kept:
            ((lane, (row,)),) = done.kept
            yield Ruled(one.stream, Lane(lane), row, one.why, tuple(hits))
        else:
            yield Ruled(one.stream, None, done.dropped[0], one.why, tuple(hits))
