"""Matchers: from the values of a column, many at once, to one truth each. What conditions are made of.

A matcher costs a few hundredths of a µs a value: each is one call in C or one comprehension. Nil matches only where nil is
asked for, or where it is not among what is taken away (`none_of`).
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from agent.rules.regex import Regex

Matcher = Callable[[Sequence[Any]], Sequence[object]]
"""From values to as many truths, true or false by `bool`."""

Network = IPv4Network | IPv6Network
LONGEST: Final = 64  # characters of an address, with its zone; longer texts are not remembered
KNOWN: Final = 65_536  # addresses remembered by one matcher; then forgotten: made-up ones must not fill the memory


def equal(wanted: Iterable[Any]) -> Matcher:
    """Match values that are one of these; None is nil."""
    values = frozenset(wanted)
    if len(values) == 1:
        (value,) = values
        return lambda column: [each == value for each in column]
    return lambda column: list(map(values.__contains__, column))


def between(low: float, high: float) -> Matcher:
    """Match numbers from `low` to `high`, both included."""
    return lambda column: [each is not None and low <= each <= high for each in column]


def beginning(prefixes: Iterable[str]) -> Matcher:
    """Match texts that begin with one of these."""
    wanted = tuple(prefixes)
    return lambda column: [each is not None and each.startswith(wanted) for each in column]


def ending(suffixes: Iterable[str]) -> Matcher:
    """Match texts that end with one of these."""
    wanted = tuple(suffixes)
    return lambda column: [each is not None and each.endswith(wanted) for each in column]


def containing(part: str) -> Matcher:
    """Match texts in which this stands."""
    return lambda column: [each is not None and part in each for each in column]


def matching(regex: Regex) -> Matcher:
    """Match texts in which the expression is found."""

    def match(column: Sequence[Any]) -> Sequence[object]:
        texts = [each for each in column if isinstance(each, str)]
        found = regex.found_in(texts)
        if len(texts) == len(column):
            return found
        truths = iter(found)
        return [isinstance(each, str) and next(truths) for each in column]

    return match


def within(networks: Iterable[Network]) -> Matcher:
    """Match texts that are an address in one of these networks."""
    wanted = tuple(networks)
    known: dict[Any, bool] = {}

    def match(column: Sequence[Any]) -> Sequence[object]:
        is_long = False
        for value in set(column).difference(known):
            known[value] = _is_within(value, wanted)
            is_long |= isinstance(value, str) and len(value) > LONGEST
        truths = list(map(known.__getitem__, column))
        if is_long or len(known) > KNOWN:
            known.clear()
        return truths

    return match


def _is_within(value: object, networks: tuple[Network, ...]) -> bool:
    if not isinstance(value, str):
        return False
    try:
        address = ip_address(value.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def any_of(matchers: Sequence[Matcher]) -> Matcher:
    """Match what one of these matches."""
    if len(matchers) == 1:
        return matchers[0]
    return lambda column: [any(truths) for truths in zip(*(match(column) for match in matchers), strict=True)]


def none_of(matcher: Matcher) -> Matcher:
    """Match exactly what this one does not, nil included."""
    return lambda column: [not truth for truth in matcher(column)]


def first_not_second(first: Matcher, second: Matcher) -> Matcher:
    """Match what the first matches and the second does not."""
    return lambda column: [one and not two for one, two in zip(first(column), second(column), strict=True)]


def total(matcher: Matcher) -> Matcher:
    """Let nothing raise: where a value is of a type that cannot be compared, each is looked at by itself."""

    def match(column: Sequence[Any]) -> Sequence[object]:
        try:
            return matcher(column)
        except (TypeError, AttributeError):
            return [_alone(matcher, each) for each in column]

    return match


def _alone(matcher: Matcher, value: object) -> bool:
    try:
        return bool(matcher([value])[0])
    except (TypeError, AttributeError):
        return False


def in_list(matcher: Matcher) -> Matcher:
    """Match lists of which one element matches; an empty one is nil. What is no list is its own only element."""

    def match(column: Sequence[Any]) -> Sequence[object]:
        if not any(isinstance(each, list | tuple) for each in column):
            return matcher([_text(each) for each in column])
        return [any(matcher([_text(one) for one in _elements(each)])) for each in column]

    return match


def at_path(matcher: Matcher, path: str) -> Matcher:
    """Match maps by what stands in them at a dotted path; of a list there, one element is enough."""
    match = in_list(matcher)
    return lambda column: match([dig(each, path) for each in column])


def dig(value: object, path: str) -> object:
    """Give what stands at a dotted path, None where nothing does; a key may itself have dots."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    end = path.find(".")
    while end > 0:
        found = dig(value.get(path[:end]), path[end + 1 :])
        if found is not None:
            return found
        end = path.find(".", end + 1)
    return None


def _elements(value: object) -> Sequence[object]:
    return (value or [None]) if isinstance(value, list | tuple) else [value]


def _text(value: object) -> str | None:
    """A value of a map as the text that conditions compare."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
