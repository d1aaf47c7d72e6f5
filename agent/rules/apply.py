"""The rules at work: chunks of rows in, what is kept of them out, lane by lane; every hit and every drop counted.

    rows of one stream and lane ──rule 1──► ──rule 2──► ... ──► [(lane, rows), ...]
                                    │ columns of all rows at once (matchers), then only the hits (actions)

Rules see a row in their order. `drop` ends its way, and so does what `sample` and `limit` leave out; `keep` ends the
rules for it; after `lane` and `mask` the next rule sees it, changed.

Invariants:
- kept + dropped = put, of every chunk; the order of what is kept is the order in which it came.
- A chunk that no rule hits goes on as the object it came as; a stream without rules costs one look into a dict.
- The stream `agent` has no rules, so declarations of losses always pass.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, Final, NamedTuple

from agent.rules.actions import Act, action
from agent.rules.chunk import Chunk, Row
from agent.rules.conditions import is_costly, read_condition
from agent.rules.matchers import Matcher
from agent.rules.settings import Rule, items_of, streams_of
from agent.rules.streams import kind_of, place_of
from collectors.sink import Stream

REASON: Final = "rule-"
"""Before a rule's name, the reason of what it drops: `dropped:rule-NAME` in the account."""


class Sorted(NamedTuple):
    """What became of a chunk.

    Attributes:
        kept: lane and its rows, in order.
        dropped: rows that rules dropped, in no order.
        losses: name of a rule and how many of them were its.
    """

    kept: Sequence[tuple[int, Sequence[Row]]]
    dropped: Sequence[Row] = ()
    losses: Sequence[tuple[str, int]] = ()


class Hit(NamedTuple):
    """One rule that hit, for whoever wants to see it."""

    rule: str
    do: str


class _Compiled:
    """One rule for one stream, and its counts since the start."""

    __slots__ = ("act", "dropped", "find", "hits", "last_hit_ns", "rule", "stream")

    def __init__(self, rule: Rule, stream: Stream) -> None:
        self.rule = rule
        self.stream = stream.name
        self.find = _finder(rule, stream)
        self.act: Act = action(rule, stream)
        self.hits = 0
        self.dropped = 0
        self.last_hit_ns: int | None = None


class Rules:
    """The rules of one agent, compiled once for each stream they are about."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._all = [_Compiled(rule, stream) for rule in rules for stream in streams_of(rule)]
        self._of: dict[str, list[_Compiled]] = {}
        for compiled in self._all:
            self._of.setdefault(compiled.stream, []).append(compiled)

    def __bool__(self) -> bool:
        return bool(self._all)

    def sort(
        self, stream: Stream, rows: Sequence[Row], lane: int, *, on_hit: Callable[[Hit], None] | None = None
    ) -> Sorted:
        """Take rows of one stream and lane through its rules; never raises.

        Args:
            stream: whose columns the rows have.
            rows: in the order in which they were received.
            lane: that their collector chose.
            on_hit: told of each rule that hits any of them.
        """
        chunk: Chunk | None = None
        losses: list[tuple[str, int]] = []
        for one in self._of.get(stream.name, ()):
            hits = one.find(rows if chunk is None else chunk.rows)
            if not hits:
                continue
            chunk = chunk or Chunk(rows, lane)
            before = len(chunk.dropped)
            one.act(chunk, hits)
            lost = len(chunk.dropped) - before
            if lost:
                losses.append((one.rule.name, lost))
            one.hits += len(hits)
            one.dropped += lost
            one.last_hit_ns = time.time_ns()
            if on_hit is not None:
                on_hit(Hit(one.rule.name, one.rule.do))
        return Sorted([(lane, rows)]) if chunk is None else Sorted(chunk.by_lane(), chunk.dropped, losses)

    def facts(self) -> list[dict[str, Any]]:
        """What status shows: each rule in its order, once per stream."""
        return [
            {
                "name": one.rule.name,
                "do": one.rule.do,
                "stream": one.stream,
                "hits": one.hits,
                "dropped": one.dropped,
                "last_hit_ns": one.last_hit_ns,
            }
            for one in self._all
        ]


def _finder(rule: Rule, stream: Stream) -> Callable[[Sequence[Row]], Sequence[int]]:
    """Make the search for a rule's hits: each condition looks only at the rows that the ones before it left."""
    columns = sorted(rule.where, key=lambda column: is_costly(items_of(rule.where[column])))
    tests = [(itemgetter(place_of(stream, column)), _matcher(rule, stream, column)) for column in columns]

    def find(rows: Sequence[Row]) -> Sequence[int]:
        found: Sequence[int] = range(len(rows))
        for value_of, match in tests:
            truths = match(list(map(value_of, rows)))
            found = list(compress(found, truths))
            if not found:
                break
            rows = list(compress(rows, truths)) if len(found) < len(rows) else rows
        return found

    return find


def _matcher(rule: Rule, stream: Stream, column: str) -> Matcher:
    matcher, wrong = read_condition(column, kind_of(stream, column) or "", items_of(rule.where[column]))
    assert matcher is not None, wrong  # the settings have been checked
    return matcher
