r"""One condition as it stands in the YAML, to a matcher for its column.

    any column   null                  nil
    text         sshd                  exactly that; `=sshd` too, for texts that look like something else
                 ssh*  *d  *sh*        begins, ends with, contains
                 ~^ssh[d]              a regular expression finds something (RE2, line by line)
                 10.0.0.0/8            an address in that network
    number       6  ==6  !=6  >=6  <6  4..6
                 err  >=warning        severities and facilities by name
    true/false   true

A list is any of its items. `!` before an item takes away what it matches: `[10.0.0.0/8, "!10.1.0.0/16"]`; where every
item has one, everything else is meant. In a map the column's name goes on: `structured_data.ID.PARAM`, as text.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network
from math import inf, nextafter
from typing import Any, Final, NamedTuple

from agent.rules import matchers
from agent.rules.matchers import Matcher
from agent.rules.regex import Regex
from collectors.syslog.config import SEVERITIES
from wire.yaml.remedies import mend_word
from wire.yaml.scalars import resolve

Item = str | None
_SEVERITY: Final = {**{name: at for at, name in enumerate(SEVERITIES)}, "error": 3, "warn": 4, "panic": 0}
_FACILITIES: Final = (
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
)
_FACILITY: Final = {
    **{name: at for at, name in enumerate(_FACILITIES)},
    **{f"local{at}": 16 + at for at in range(8)},
}
NAMES: Final = {"severity": _SEVERITY, "facility": _FACILITY}
"""Names of numbers, by column: syslog(3)."""

_COMPARED: Final = re.compile(r"(==|=|>=|<=|>|<|)(.*)", re.DOTALL)
_ADDRESS_AND_BITS: Final = re.compile(r"[0-9a-fA-F:.]*[.:][0-9a-fA-F:.]*/[0-9]+")


class Wanted(NamedTuple):
    """One item: how to look, and for what."""

    how: str
    what: Any


def read_condition(column: str, kind: str, items: Sequence[Item]) -> tuple[Matcher | None, list[tuple[int, str]]]:
    """Read the items of one condition.

    Args:
        column: its name, dotted below a map.
        kind: its wire type.
        items: as they stand in the YAML.

    Returns:
        The matcher, and what is wrong: index of the item and `text; remedy`. None where anything is.
    """
    wanted: list[Wanted] = []
    unwanted: list[Wanted] = []
    wrong: list[tuple[int, str]] = []
    for index, item in enumerate(items):
        is_unwanted = item is not None and item.startswith("!")
        try:
            one = _read(column, kind, item[1:] if item is not None and is_unwanted else item)
        except ValueError as error:
            wrong.append((index, str(error)))
        else:
            (unwanted if is_unwanted else wanted).append(one)
    if wrong or not items:
        return None, wrong or [(-1, f"{column} has no value; write one, or null for nil")]
    return _placed(column, kind, _combined(wanted, unwanted)), []


def is_costly(items: Sequence[Item]) -> bool:
    """Tell whether a condition is better looked at last."""
    return any(item is not None and item.removeprefix("!").startswith("~") for item in items)


def _read(column: str, kind: str, item: Item) -> Wanted:
    if item is None or item == "null":
        return Wanted("equal", None)
    if kind in {"time", "bytes"}:
        raise ValueError(f'{column} can only be compared with nil; write null or "!null"')
    if kind == "map" and "." not in column:
        raise ValueError(f"{column} is a map; name what stands in it: {column}.KEY")
    if kind in {"int", "float"}:
        return Wanted("between", _read_number(column, item, is_whole=kind == "int"))
    if kind == "bool":
        if item not in {"true", "false"}:
            raise ValueError(f'{column} is true or false, not "{item}"; write true or false')
        return Wanted("equal", item == "true")
    return _read_text(column, item)


def _read_text(column: str, item: str) -> Wanted:
    if item.startswith("="):
        return Wanted("equal", item[1:])
    if item.startswith("~"):
        try:
            return Wanted("matching", Regex(item[1:]))
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from None
    if item.startswith(("<", ">")):
        raise ValueError(f'{column} is text, and "{item}" compares numbers; write "={item}" for just this text')
    inner = item.removeprefix("*").removesuffix("*")
    if "*" in inner or (not inner and "*" in item):
        raise ValueError(f'"{item}": a * stands at the beginning or the end; use an expression: "~{_as_regex(item)}"')
    if item.startswith("*"):
        return Wanted("containing" if item.endswith("*") else "ending", inner)
    if item.endswith("*"):
        return Wanted("beginning", inner)
    return _read_address(item) if ":" in item or "/" in item else Wanted("equal", item)


def _as_regex(glob: str) -> str:
    return "^" + ".*".join(map(re.escape, glob.split("*"))) + "$"


def _read_address(item: str) -> Wanted:
    """Read a network, or a single IPv6 address in the one form that rows have; else it is just text."""
    if _ADDRESS_AND_BITS.fullmatch(item):
        try:
            return Wanted("within", ip_network(item))
        except ValueError as error:
            raise ValueError(f"{error}; {_mend_network(item)}") from None
    try:
        return Wanted("equal", str(ip_address(item)))
    except ValueError:
        return Wanted("equal", item)


def _mend_network(item: str) -> str:
    try:
        return f"write {ip_network(item, strict=False)}"
    except ValueError:
        return f'a network is ADDRESS/BITS, as 10.0.0.0/8 or 2001:db8::/32; write "={item}" for just this text'


def _read_number(column: str, item: str, *, is_whole: bool) -> tuple[float, float]:
    """Give the lowest and the highest number that match."""
    names = NAMES.get(column, {})
    low, dots, high = item.partition("..")
    if dots:
        bounds = _number(column, low, names, is_whole=is_whole), _number(column, high, names, is_whole=is_whole)
        if bounds[0] > bounds[1]:
            raise ValueError(f"{item} is empty; write {high}..{low}")
        return bounds
    compared = _COMPARED.fullmatch(item)
    assert compared is not None  # it takes anything
    sign, value = compared[1], _number(column, compared[2], names, is_whole=is_whole)
    if sign == "<":
        return -inf, value - 1 if is_whole else nextafter(value, -inf)
    if sign == ">":
        return value + 1 if is_whole else nextafter(value, inf), inf
    return -inf if sign == "<=" else value, inf if sign == ">=" else value


def _number(column: str, text: str, names: dict[str, int], *, is_whole: bool) -> float:
    text = text.strip()
    if text.lower() in names:
        return names[text.lower()]
    value = resolve(text)
    if isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool):
        return value
    remedy = mend_word(text, list(names)) if names and text[:1].isalpha() else 'as 5, ">=5", 3..5 or "!=5"'
    raise ValueError(f'{column} is a number, not "{text}"; {remedy}')


def _combined(wanted: Sequence[Wanted], unwanted: Sequence[Wanted]) -> Matcher:
    if not unwanted:
        return _matcher(wanted)
    if not wanted:
        return matchers.none_of(_matcher(unwanted))
    return matchers.first_not_second(_matcher(wanted), _matcher(unwanted))


def _matcher(items: Sequence[Wanted]) -> Matcher:
    """Give what matches any of the items, those of one kind looked for together."""
    hows: dict[str, list[Any]] = {}
    for how, what in items:
        if how == "between" and what[0] == what[1]:
            hows.setdefault("equal", []).append(what[0])
        else:
            hows.setdefault(how, []).append(what)
    return matchers.any_of([made for how, whats in hows.items() for made in _MAKERS[how](whats)])


def _each(make: Callable[..., Matcher]) -> Callable[[Iterable[Any]], list[Matcher]]:
    return lambda whats: [make(*what) if isinstance(what, tuple) else make(what) for what in whats]


def _together(make: Callable[[Iterable[Any]], Matcher]) -> Callable[[Iterable[Any]], list[Matcher]]:
    return lambda whats: [make(whats)]


_MAKERS: Final[dict[str, Callable[[Iterable[Any]], list[Matcher]]]] = {
    "equal": _together(matchers.equal),
    "between": _each(matchers.between),
    "beginning": _together(matchers.beginning),
    "ending": _together(matchers.ending),
    "containing": _each(matchers.containing),
    "matching": _each(matchers.matching),
    "within": _together(matchers.within),
}


def _placed(column: str, kind: str, matcher: Matcher) -> Matcher:
    """Let a matcher see a whole column: below a map, in each element of a list, and whatever its values are."""
    if kind == "map" and "." in column:
        return matchers.at_path(matcher, column.partition(".")[2])
    if kind == "list":
        return matchers.in_list(matcher)
    return matchers.total(matcher)
