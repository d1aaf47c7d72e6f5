"""Rules in words for `edgepost check`: what each does, and what is valid and may still not be meant."""

from collections.abc import Iterator, Sequence
from typing import Final

from agent.rules.conditions import read_condition
from agent.rules.settings import Rule, items_of, streams_of
from agent.rules.streams import kind_of
from collectors.sink import Stream
from collectors.syslog.config import SEVERITIES

_DROPS: Final = {"drop", "sample", "limit"}
_ENDS: Final = {"drop", "keep"}
_GRAVE: Final = range(4)  # emerg to err


def describe_rule(rule: Rule) -> str:
    """Say in one line what a rule does."""
    streams = ", ".join(stream.name for stream in streams_of(rule))
    return f"rule {rule.name}: {_does(rule)} {streams}{_where(rule)}"


def _does(rule: Rule) -> str:
    per = f" per {' and '.join(rule.per)}" if rule.per else ""
    return {
        "drop": "drops rows of",
        "keep": "ends the rules for rows of",
        "lane": f"puts into the {rule.lane} lane rows of",
        "sample": f"keeps one of {rule.one_of}{per} of",
        "limit": f"keeps {rule.rows_per_second} a second{per} of",
        "mask": f"masks {rule.column} by {rule.by} in rows of",
    }[rule.do]


def _where(rule: Rule) -> str:
    """List the conditions; numbers that have names by these, so that >= cannot be misread."""
    if not rule.where:
        return ", all of them"
    return " where " + " and ".join(f"{column} is {_told(rule, column)}" for column in rule.where)


def _told(rule: Rule, column: str) -> str:
    if column == "severity" and any(kind_of(stream, column) == "int" for stream in streams_of(rule)):
        return " or ".join(SEVERITIES[at] for at in _hit_among(rule, column, range(8))) or "none that there is"
    items = ["nil" if item is None else item for item in items_of(rule.where[column])]
    wanted = " or ".join(item for item in items if not item.startswith("!"))
    unwanted = " nor ".join(item[1:] for item in items if item.startswith("!"))
    return wanted + (", not " if wanted else "not ") * bool(unwanted) + unwanted


def _hit_among(rule: Rule, column: str, values: Sequence[int]) -> list[int]:
    """Choose the numbers that a condition lets through."""
    matcher, _ = read_condition(column, "int", items_of(rule.where[column]))
    return list(values) if matcher is None else [at for at, hit in zip(values, matcher(values), strict=True) if hit]


def find_rule_warnings(rules: Sequence[Rule], collected: Sequence[Stream]) -> Iterator[str]:
    """Find what is valid and may still not be meant.

    Args:
        rules: in their order.
        collected: the streams that the collectors of this file put.
    """
    for at, rule in enumerate(rules):
        grave = _grave(rule)
        if rule.do in _DROPS and not rule.where:
            yield f"rule {rule.name}: no condition, so it is for every row of {_names(streams_of(rule))}"
        elif rule.do in _DROPS and grave:
            yield (
                f"rule {rule.name}: may drop rows of severity {', '.join(SEVERITIES[number] for number in grave)}; "
                f'if that is not meant, add `severity: ">=warning"` to its `where`'
            )
        if not any(stream in collected for stream in streams_of(rule)):
            yield f"rule {rule.name}: nothing here collects {_names(streams_of(rule))}"
        yield from _never_reached(rule, rules[:at])


def _grave(rule: Rule) -> list[int]:
    """Give the grave severities that a rule can hit."""
    if not any(kind_of(stream, "severity") == "int" for stream in streams_of(rule)):
        return []
    return _hit_among(rule, "severity", _GRAVE) if "severity" in rule.where else list(_GRAVE)


def _never_reached(rule: Rule, before: Sequence[Rule]) -> Iterator[str]:
    streams = set(_stream_names(rule))
    for other in before:
        if other.do in _ENDS and not other.where and streams <= set(_stream_names(other)):
            yield f"rule {rule.name}: never reached, {other.name} before it takes every row"
            return


def _stream_names(rule: Rule) -> list[str]:
    return [stream.name for stream in streams_of(rule)]


def _names(streams: Sequence[Stream]) -> str:
    return ", ".join(stream.name for stream in streams)
