"""The fast patterns keep the rules that make them linear and whole, judged on the parsed pattern, not by a clock."""

import re
from re import _constants as op
from re import _parser as parser

import pytest

from collectors.syslog import patterns

NEWLINE = ord("\n")
PATTERNS = {name: value for name, value in vars(patterns).items() if isinstance(value, re.Pattern)}


class Unsafe(Exception):
    """A construct that the rules forbid."""


def check(pattern: str, flags: int) -> None:
    """Walk a parsed pattern; raise Unsafe at the first thing that could backtrack, lose a line or cross one."""
    if flags & (re.ASCII | re.MULTILINE) != re.ASCII | re.MULTILINE:
        raise Unsafe("not ASCII and MULTILINE")
    if flags & re.DOTALL:
        raise Unsafe("DOTALL")
    tree = list(parser.parse(pattern, flags & ~re.UNICODE))
    alternatives = split(tree)
    for alternative in alternatives:
        check_ends(alternative)
        walk(alternative)
    if not takes_any_line(alternatives[-1]):
        raise Unsafe("the last alternative does not take any line")


def split(tree: list) -> list[list]:
    """The alternatives; the parser takes what they have in common, the ^, to the front."""
    if tree[-1][0] is not op.BRANCH:
        return [tree]
    return [tree[:-1] + list(alternative) for alternative in tree[-1][1][1]]


def takes_any_line(nodes: list) -> bool:
    """Whether it is `^([^\\n]*+)$`: a line that nothing else takes is given as it stands."""
    if len(nodes) != 3 or nodes[1][0] is not op.SUBPATTERN:
        return False
    inner = list(nodes[1][1][3])
    if len(inner) != 1 or inner[0][0] is not op.POSSESSIVE_REPEAT:
        return False
    low, high, repeated = inner[0][1]
    return (low, high, list(repeated)) == (0, op.MAXREPEAT, [(op.NOT_LITERAL, NEWLINE)])


def check_ends(nodes: list) -> None:
    if nodes[0] != (op.AT, op.AT_BEGINNING) or nodes[-1] != (op.AT, op.AT_END):
        raise Unsafe("an alternative without ^ or $")


def walk(nodes: list) -> None:
    for code, value in nodes:
        if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
            low, high, _ = value
            if low != high:
                raise Unsafe(f"a repeat that can give back: {low} to {high}")
            walk(list(value[2]))
        elif code is op.POSSESSIVE_REPEAT:
            walk(list(value[2]))
        elif code is op.ANY:
            raise Unsafe("a dot: it hides what it takes")
        elif code is op.NOT_LITERAL:
            if value != NEWLINE:
                raise Unsafe("a class that can match a newline")
        elif code is op.LITERAL:
            if value == NEWLINE:
                raise Unsafe("a newline")
        elif code is op.IN:
            check_class(value)
        elif code is op.SUBPATTERN:
            walk(list(value[3]))
        elif code is op.BRANCH:
            for branch in value[1]:
                walk(list(branch))
        elif code in {op.ASSERT, op.ASSERT_NOT}:
            walk(list(value[1]))
        elif code is op.ATOMIC_GROUP:
            walk(list(value))
        elif code is not op.AT:
            raise Unsafe(f"{code} is not known to be safe")


def check_class(items: list) -> None:
    is_negated = items[0] == (op.NEGATE, None)
    has_newline = False
    for code, value in items[is_negated:]:
        if code is op.LITERAL:
            has_newline |= value == NEWLINE
        elif code is op.RANGE:
            has_newline |= value[0] <= NEWLINE <= value[1]
        elif code is op.CATEGORY and value in {op.CATEGORY_DIGIT, op.CATEGORY_WORD}:
            pass
        else:
            raise Unsafe(f"{code} {value} in a class is not known to be safe")
    if has_newline != is_negated:
        raise Unsafe("a class that can match a newline")


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_each_fast_pattern_keeps_the_rules(name: str) -> None:
    check(PATTERNS[name].pattern, PATTERNS[name].flags)


def test_there_are_patterns_to_judge() -> None:
    assert {"RFC", "RFC3164_ISO", "FIREWALL", "EVENT_RFC5424", "SD_ELEMENT"} <= set(PATTERNS)


@pytest.mark.parametrize(
    "bad",
    [
        r"^<(\d+)>([^\n]++)$|^([^\n]*+)$",  # greedy
        r"^<(\d+?)>([^\n]++)$|^([^\n]*+)$",  # lazy
        r"^(?:a|ab)*([^\n]++)$|^([^\n]*+)$",  # greedy group
        r"^<(\d++)>(.*+)$|^([^\n]*+)$",  # dot
        r"^<(\d++)>(\s++)$|^([^\n]*+)$",  # a category with the newline
        r"^<(\d++)>([^a]++)$|^([^\n]*+)$",  # a negated class with the newline
        r"^<(\d++)>([\t-z]++)$|^([^\n]*+)$",  # a range with the newline
        r"^<(\d++)>([^\n]++)|^([^\n]*+)$",  # no end
        r"<(\d++)>([^\n]++)$|^([^\n]*+)$",  # no beginning
        r"^<(\d++)>([^\n]++)$",  # does not take any line
        r"^<(\d++)>([^\n]++)$|^([^\n]++)$",  # does not take an empty line
        r"^(a)\1$|^([^\n]*+)$",  # a back reference
    ],
)
def test_the_judge_refuses_what_the_rules_forbid(bad: str) -> None:
    with pytest.raises(Unsafe):
        check(bad, re.ASCII | re.MULTILINE)


def test_the_judge_refuses_wrong_flags() -> None:
    with pytest.raises(Unsafe):
        check(patterns.RFC.pattern, re.MULTILINE)
