"""Settings of a rule, as they stand in the YAML (`docs/rules.md`).

Invariant: a `Rule` that could be made is one that can be compiled for every stream that `streams_of` gives. All that is
wrong with one is said at once, each at its place (`wire.yaml.mistakes.Misplaced`).
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from agent.rules.conditions import Item, read_condition
from agent.rules.regex import Regex, template
from agent.rules.streams import STREAMS, kind_of, mend_column, with_all
from collectors.sink import Stream
from wire.secret import Secret
from wire.yaml.mistakes import Misplaced
from wire.yaml.remedies import mend_word, quoted

Wrong = tuple[tuple[str | int | None, ...], str, str]
"""A place below the rule, what is wrong there, what to do."""

NAME_LENGTH: Final = 58  # so that the reason `rule-NAME` is a name, too
SECRET_LENGTH: Final = 16
ACTION_KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "drop": ((), ()),
    "keep": ((), ()),
    "lane": (("lane",), ()),
    "sample": (("one_of",), ("per",)),
    "limit": (("rows_per_second",), ("per",)),
    "mask": (("column",), ("by", "pattern", "replacement", "secret")),
}
"""Of each action: the keys it must have, and those it may have."""

HASHABLE: Final = {"int", "float", "bool", "str", "bytes", "time"}
MASKABLE: Final = {"str", "map", "list"}

_ITEM: Final = {"type": ["string", "number", "boolean", "null"]}
_CONDITION: Final = {"anyOf": [_ITEM, {"type": "array", "items": _ITEM}]}
Condition = str | tuple[str | None, ...] | None
"""The text as it is written, whatever an editor takes it for."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do with rows before they are buffered.

    Attributes:
        name: unique among the rules; what it drops is counted as `rule-NAME`.
        stream: whose rows; null: of every stream that has all the columns named here.
        where: column to condition; all must hold. Empty: every row.
        do: `drop`, `keep` (no later rule sees the row), `lane`, `sample`, `limit` or `mask`.
        lane: for `lane`: `urgent`, `normal` or `bulk`.
        one_of: for `sample`: one row of so many stays, the first.
        rows_per_second: for `limit`: so many stay, the first of each second.
        per: for `sample` and `limit`: counted for each value of these columns by itself.
        column: for `mask`: text, or a map or list whose texts are all masked.
        by: for `mask`: `replacement`, `hash` (with `secret`), `network` (an address becomes its /24 or /48) or `nothing`.
        pattern: for `mask`: only what this regular expression finds; null: the whole value.
        replacement: for `mask`: what stands there then; backslash and 1 to 9 is a group of `pattern`.
        secret: for `mask` by `hash`: equal texts become equal only where it is the same.
    """

    name: Annotated[str, msgspec.Meta(max_length=NAME_LENGTH)]
    stream: str | None = None
    where: Annotated[dict[str, Condition], msgspec.Meta(extra={"schema": {"additionalProperties": _CONDITION}})] = {}
    do: Literal["drop", "keep", "lane", "sample", "limit", "mask"]
    lane: Literal["urgent", "normal", "bulk"] | None = None
    one_of: Annotated[int, msgspec.Meta(ge=2, le=1_000_000_000)] | None = None
    rows_per_second: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    per: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)] = ()
    column: str | None = None
    by: Literal["replacement", "hash", "network", "nothing"] = "replacement"
    pattern: str | None = None
    replacement: str = "***"
    secret: Secret | None = None

    def __post_init__(self) -> None:
        wrong = [*_keys(self), *_columns(self), *_conditions(self), *_counted(self), *_mask(self)]
        if wrong:
            raise Misplaced(wrong)


def items_of(condition: Condition) -> tuple[Item, ...]:
    """Give a condition as the list it stands for."""
    return condition if isinstance(condition, tuple) else (condition,)


def streams_of(rule: Rule) -> list[Stream]:
    """Give the streams that a rule is about."""
    return with_all(_named(rule), _candidates(rule))


def _candidates(rule: Rule) -> list[Stream]:
    """Give the streams that may be meant, whatever columns they have."""
    return [stream for stream in STREAMS.values() if rule.stream in {None, stream.name}]


def _named(rule: Rule) -> list[str]:
    return [*rule.where, *rule.per, *([rule.column] if rule.column is not None else [])]


def _keys(rule: Rule) -> Iterator[Wrong]:
    """Find keys that the action lacks or has no use for."""
    needed, allowed = ACTION_KEYS[rule.do]
    given = {field.name for field in msgspec.structs.fields(rule) if getattr(rule, field.name) != field.default}
    for key in needed:
        if key not in given:
            yield ("do",), f"do: {rule.do} needs `{key}`", f"add `{key}: ...`"
    for action, (other_needed, other_allowed) in ACTION_KEYS.items():
        for key in (*other_needed, *other_allowed):
            if key in given and key not in {*needed, *allowed}:
                yield (key, None), f"{key} has no meaning with do: {rule.do}", f"take it out, or write `do: {action}`"
                given.discard(key)


def _columns(rule: Rule) -> Iterator[Wrong]:
    """Find a stream that is none, and columns that no stream in question has."""
    if rule.stream == "agent":
        yield ("stream",), "the stream agent is not for rules: losses are declared in it", "leave this rule out"
        return
    streams = _candidates(rule)
    if rule.stream is not None and not streams:
        yield ("stream",), f'there is no stream "{rule.stream}"', mend_word(rule.stream, list(STREAMS))
        return
    whose = "no stream has" if rule.stream is None else f"{rule.stream} has no"
    unknown = False
    for path, column in _places(rule):
        if not with_all([column], streams):
            unknown = True
            yield path, f'{whose} column "{column}"', mend_column(column, streams)
    if not unknown and not with_all(_named(rule), streams):
        remedy = "write a rule for each stream"
        yield ("where", None), f"no stream has all of these columns: {quoted(_named(rule))}", remedy


def _places(rule: Rule) -> Iterator[tuple[tuple[str | int | None, ...], str]]:
    for column in rule.where:
        yield ("where", column, None), column
    for index, column in enumerate(rule.per):
        yield ("per", index), column
    if rule.column is not None:
        yield ("column",), rule.column


def _conditions(rule: Rule) -> Iterator[Wrong]:
    """Find conditions that cannot be read; each mistake once, whichever stream shows it."""
    for column, condition in rule.where.items():
        for kind in _kinds(rule, column):
            _, wrong = read_condition(column, kind, items_of(condition))
            for index, said in wrong:
                text, _, remedy = said.partition("; ")
                yield ("where", column, *((index,) if isinstance(condition, tuple) else ())), text, remedy
            if wrong:
                break


def _counted(rule: Rule) -> Iterator[Wrong]:
    """Find columns by whose values nothing can be counted."""
    for index, column in enumerate(rule.per):
        odd = [kind for kind in _kinds(rule, column) if kind not in HASHABLE]
        if odd:
            yield ("per", index), f"{column} is no text and no number ({odd[0]})", "count per another column"


def _kinds(rule: Rule, column: str) -> list[str]:
    """Give the wire types that a column has in the streams in question; none if no stream has it."""
    kinds = [kind_of(stream, column) for stream in streams_of(rule) or _candidates(rule)]
    return list(dict.fromkeys(kind for kind in kinds if kind is not None))


def _mask(rule: Rule) -> Iterator[Wrong]:
    """Find what cannot be masked, or not like this."""
    if rule.do != "mask" or rule.column is None:
        return
    base, dot, _ = rule.column.partition(".")
    odd = [kind for kind in _kinds(rule, base) if kind not in MASKABLE]
    if dot:
        yield ("column",), f"{rule.column} lies in a map, which is masked as a whole", f"write `column: {base}`"
    elif rule.column == "received":
        yield ("column",), "received is what everything here goes by", "mask another column"
    elif odd and rule.by != "nothing":
        yield ("column",), f"{rule.column} is no text ({odd[0]})", "write `by: nothing`, and it becomes nil"
    if rule.by == "hash" and (rule.secret is None or len(rule.secret.reveal()) < SECRET_LENGTH):
        said = f"by: hash needs a secret of at least {SECRET_LENGTH} characters"
        yield ("by",), f"{said}: without it every address is found by trying", "add `secret_file: PATH`"
    if rule.pattern is not None:
        yield from _expressions(rule, rule.pattern)


def _expressions(rule: Rule, pattern: str) -> Iterator[Wrong]:
    place = "pattern"
    try:
        regex = Regex(pattern)
        place = "replacement"
        template(rule.replacement, regex)
    except ValueError as error:
        text, _, remedy = str(error).partition("; ")
        yield (place,), f"{place}: {text}" if place == "pattern" else text, remedy
