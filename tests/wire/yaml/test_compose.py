from pathlib import Path

import pytest
import yaml

from wire.yaml import compose as module
from wire.yaml.compose import MAX_BYTES, Map, Refused, Scalar, Seq, compose, decode
from wire.yaml.mistakes import Mistake, Source, Unreadable


def read(text: str):
    """Give the plain form of the nodes, and what was noted, as `line:column text`."""
    mistakes: list[Mistake] = []
    node = compose(text, Source.of(Path("a.yaml"), text, order=1), mistakes=mistakes)
    return bare(node), [said(mistake) for mistake in mistakes]


def said(mistake):
    return f"{mistake.line}:{mistake.column} {mistake.text}"


def bare(node):
    if isinstance(node, Map):
        return {key: bare(value) for key, (_, value) in node.items.items()}
    if isinstance(node, Seq):
        return [bare(item) for item in node.items]
    return node.text if isinstance(node, Scalar) else node


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _with_both_parsers(request, monkeypatch):
    monkeypatch.setattr(module, "_LOADER", getattr(yaml, request.param))


def test_maps_lists_and_scalars_become_nodes():
    text = "a: 1\nb: [x, 'y']\nc:\n  - d: |\n      two\n      lines\n  - {e: f}\n"
    assert ({"a": "1", "b": ["x", "y"], "c": [{"d": "two\nlines\n"}, {"e": "f"}]}, []) == read(text)


def test_a_text_without_content_gives_no_node():
    assert (None, []) == read("# nothing\n")


def test_each_second_key_is_told_and_the_first_one_kept():
    assert ({"a": "1", "b": "2"}, ['2:1 "a" stands here twice, first in line 1']) == read("a: 1\na: 3\nb: 2\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\n", "1:4 &x is an anchor"),
        ("a: *x\n", "1:4 *x is an alias"),
        ("a: !!str 1\n", "1:4 a tag is not used in settings"),
        ("a: ! 1\n", "1:4 a tag is not used in settings"),
        ("? [a]\n: 1\n", "1:3 a list or a map cannot be a key"),
        ("a: 1\n---\nb: 2\n", "2:1 a second document begins here"),
    ],
)
def test_what_settings_do_not_need_is_told(text, expected):
    assert expected in read(text)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", "2:1 a tab stands here"),
        ("a: b: c\n", "1:5 a second `key:` in one value"),
        ("a: 1\n b: 2\n", "2:3 a second `key:` in one value"),
        ("a: [1, 2\nb: 3\n", "2:2 the [ of line 1 is not closed"),
        ("k: {a: 1, b: 2\nx: y\n", "2:2 the { of line 1 is not closed"),
        ("k: {a: 1, b: 2\n", "1:4 the { of line 1 is not closed"),
        ("a: 1\nb: 'x\n", "2:4 this quote is never closed"),
        ('a: "C:\\keys"\n', "1:8 a backslash between double quotes begins an escape"),
        ("bind: [::]:514\n", "1:8 a value cannot begin like this"),
        ("a: @x\n", "1:4 this character cannot begin a value"),
        ("a: 1\nb\n", "2:1 this is no `key: value`"),
        ("a: 1\nb:2\nc: 3\n", "2:1 this is no `key: value`"),
        ("- a\nb: 1\n", "2:1 this does not stand where it belongs"),
    ],
)
def test_syntax_mistakes_read_the_same_with_either_parser(text, expected):
    assert [expected] == read(text)[1]


def test_what_stands_before_a_syntax_mistake_is_given_and_marked_as_not_whole():
    text = "a: 1\nb:\n  c: 2\n  d: [3, 4\nx: y\n"
    assert ["5:2 the [ of line 4 is not closed"] == read(text)[1]
    root = compose(text, Source.of(Path("a.yaml"), text, order=1), mistakes=[])
    assert (False, False) == (root.is_whole, root.items["b"][1].is_whole)
    assert ("1", "2") == (root.items["a"][1].text, root.items["b"][1].items["c"][1].text)
    assert isinstance(root.items["b"][1].items["d"][1], Refused), "what stands in an open bracket may belong elsewhere"


def test_depth_is_limited_before_anything_is_built():
    assert ["1:26 nested deeper than 24 levels"] == read("[" * 100_000)[1]


def decoded(data: bytes) -> tuple[str, list[str]]:
    mistakes: list[Mistake] = []
    source = Source.of(Path("a.yaml"), data.decode("utf-8", "replace"), order=1)
    return decode(data, source, mistakes=mistakes), [said(mistake) for mistake in mistakes]


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert ("a: 1", []) == decoded(b"\xef\xbb\xbfa: 1")


def test_bytes_that_are_not_utf8_are_told_with_their_place_and_the_rest_is_read():
    assert ("a: 1\nb: \ufffd\nc: \ufffd", ["2:4 not UTF-8 here"]) == decoded(b"a: 1\nb: \xff\nc: \xfe")


def test_control_characters_are_told_with_their_place_line_by_line():
    expected = ["2:4 U+0007 may not stand in YAML", "3:1 U+0000 may not stand in YAML"]
    assert ("a: 1\nb: \ufffd\n\ufffd", expected) == decoded(b"a: 1\nb: \x07\n\0")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"#" * (MAX_BYTES + 1), "1:1 the file is larger than 1048576 bytes"),
        ("a: 1".encode("utf-16"), "1:1 the file is UTF-16"),
    ],
)
def test_what_cannot_be_a_settings_file_is_not_read(data, expected):
    with pytest.raises(Unreadable) as caught:
        decoded(data)
    assert expected == said(caught.value.mistake)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_yaml_counts_them(line_end):
    assert ['2:1 "a" stands here twice, first in line 1'] == read(f"a: 1{line_end}a: 2{line_end}")[1]
