"""Regular expressions of rules: line by line like grep, many texts at once like one by one, and in linear time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.regex import Regex, template

PATTERNS = ["a", "^a", "a$", "^$", "b+", "[^a]", ".b", "a|^b", r"\bb", "(?i)A", "x*", "(?s)a.b", "é", "^a|b$"]
TEXTS = st.lists(st.text("ab \né\ud800", max_size=6), max_size=8)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(texts=TEXTS)
def test_many_texts_at_once_give_what_each_line_by_itself_gives(pattern, texts):
    oracle = re.compile(pattern, re.ASCII)
    expected = [any(oracle.search(line) for line in text.split("\n")) for text in texts]
    assert expected == [bool(found) for found in Regex(pattern).found_in(texts)]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(texts=TEXTS)
def test_replacing_in_many_texts_gives_what_each_line_by_itself_gives(pattern, texts):
    oracle = re.compile(pattern, re.ASCII)
    expected = []
    for text in texts:
        lines = text.encode("utf-8", "replace").decode().split("\n")
        new = [oracle.sub(lambda match: match[0] and "<>", line) for line in lines]
        expected.append(text if new == lines else "\n".join(new))
    assert expected == Regex(pattern).replaced_in(texts, lambda _: "<>")


@given(st.lists(st.text(max_size=20), max_size=8))
def test_any_text_can_be_looked_through(texts):
    regex = Regex(".")
    assert len(texts) == len(regex.found_in(texts)) == len(regex.replaced_in(texts, lambda _: "x"))


def test_lone_surrogates_are_no_error_and_stay_where_nothing_is_replaced():
    assert [1, 0] == list(Regex("a").found_in(["\ud800a", "\ud800"]))
    assert ["?x"] == Regex("a").replaced_in(["\ud800a"], lambda _: "x")
    assert ["?x", "\ud800", "x"] == Regex("a").replaced_in(["\ud800a", "\ud800", "a"], lambda _: "x")


def test_a_class_never_reaches_into_the_next_text():
    assert [1, 0, 0] == list(Regex("a[^,]*c").found_in(["a-c", "a", "c"]))


def test_what_backtracking_takes_minutes_for_is_found_at_once():
    assert [0, 1] == list(Regex("(a+)+$").found_in(["a" * 5_000 + "!", "a" * 5_000]))


def test_a_replacement_holds_the_groups_of_its_match():
    regex = Regex(r"(user|host)=(\S+)( x)?")
    fill = template(r"\1=\3<\2>", regex)
    assert ["é user=<ann> host= x<b>"] == regex.replaced_in(["é user=ann host=b x"], fill)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "an expression is missing; write what to look for"),
        ("(a", "missing ): (a; the syntax is that of RE2"),
        ("a(?=b)", "invalid perl operator: (?=; RE2 has no look-around"),
        (r"(a)\1", "invalid escape sequence: \\1; RE2 has no look-around and no back-references"),
        (r"\Aa", "\\A looks beyond a line, and an expression sees one; write ^"),
        (r"a\z", "\\z looks beyond a line, and an expression sees one; write $"),
        (r"a\Cb", "\\C looks beyond a line, and an expression sees one; write ."),
        ("(?i-m:^a)", "the flag m cannot be taken away"),
        (r"(?i)\pL{100}", "it would need more than 1 MiB; repeat less"),
        ("\ud800", "it is not UTF-8; "),
    ],
)
def test_what_cannot_be_looked_for_is_refused_with_a_remedy(pattern, said):
    with pytest.raises(ValueError) as refused:
        Regex(pattern)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("text", [r"\2", "a\nb"])
def test_a_replacement_that_cannot_be_filled_is_refused(text):
    with pytest.raises(ValueError, match="replacement has"):
        template(text, Regex("(a)"))


def test_an_escaped_backslash_before_a_letter_is_no_escape():
    assert [1] == list(Regex(r"\\A").found_in([r"x\A"]))
