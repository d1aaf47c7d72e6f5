"""Each kind of condition against a handful of values: which of them it matches, and what is said when it cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.conditions import read_condition
from agent.rules.matchers import KNOWN

TEXTS = ["sshd", "ssh", "kernel", "", "Xsshd", "10.1.2.3", None]
PEERS = ["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1", "2001:db8::1", "fe80::1%eth0", "host", None]
NUMBERS = [0, 3, 4, 6, 7, None]
MAPS = [
    {"a@1": {"k": "v"}},
    {"a@1": {"k": ["w", "v"]}},
    {"a@1": {"k": []}},
    {"a.b": {"c.d": "v"}},
    {"n": 5, "t": True},
    {"a@1": "text"},
    None,
]


def matched(column, kind, items, values):
    matcher, wrong = read_condition(column, kind, items)
    assert [] == wrong
    return [value for value, hit in zip(values, matcher(values), strict=True) if hit]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (("sshd",), ["sshd"]),
        (("=sshd",), ["sshd"]),
        (("sshd", "kernel"), ["sshd", "kernel"]),
        (("ssh*",), ["sshd", "ssh"]),
        (("*d", "*nel"), ["sshd", "kernel", "Xsshd"]),
        (("*ssh*",), ["sshd", "ssh", "Xsshd"]),
        (("*ern*", "*x*"), ["kernel"]),
        (("~^s+h",), ["sshd", "ssh"]),
        (("~(?i)^X",), ["Xsshd"]),
        (("~d$", "kern*", None), ["sshd", "kernel", "Xsshd", None]),
        (("",), [""]),
        ((None,), [None]),
        (("null",), [None]),
        (("!null",), ["sshd", "ssh", "kernel", "", "Xsshd", "10.1.2.3"]),
        (("!ssh*",), ["kernel", "", "Xsshd", "10.1.2.3", None]),
        (("ssh*", "!sshd"), ["ssh"]),
        (("!~ssh", "!kernel"), ["", "10.1.2.3", None]),
        (("=!x",), []),
    ],
)
def test_texts(items, expected):
    assert expected == matched("app_name", "str", items, TEXTS)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (("10.0.0.0/8",), ["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1"]),
        (("10.0.0.0/8", "!10.1.0.0/16"), ["10.2.0.1"]),
        (("fe80::/10", "10.2.0.1"), ["10.2.0.1", "fe80::1%eth0"]),
        (("2001:DB8:0::1",), ["2001:db8::1"]),
        (("!::/0",), ["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1", "host", None]),
        (("0.0.0.0/0",), ["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.1"]),
    ],
)
def test_addresses(items, expected):
    assert expected == matched("peer", "str", items, PEERS)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (("6",), [6]),
        (("==6",), [6]),
        (("!=6",), [0, 3, 4, 7, None]),
        (("!6",), [0, 3, 4, 7, None]),
        ((">=6",), [6, 7]),
        ((">6",), [7]),
        (("<= 3",), [0, 3]),
        (("<3",), [0]),
        (("3..6",), [3, 4, 6]),
        (("0", "6..7"), [0, 6, 7]),
        (("0..7", "!4..6"), [0, 3, 7]),
        (("err",), [3]),
        ((">=Warning",), [4, 6, 7]),
        (("emerg..error",), [0, 3]),
        ((None, "7"), [7, None]),
        (("0x7",), [7]),
    ],
)
def test_numbers(items, expected):
    assert expected == matched("severity", "int", items, NUMBERS)


def test_numbers_with_a_point_and_facilities_by_name():
    assert [0.5, 2] == matched("loss", "float", (">0.25",), [0.25, 0.5, 2, None])
    assert [0.1] == matched("loss", "float", ("<0.25",), [0.25, 0.1])
    assert [16, 9] == matched("facility", "int", ("local0", "cron"), [16, 4, 9])


def test_yes_and_no():
    assert [True] == matched("up", "bool", ("true",), [True, False, None])
    assert [False, None] == matched("up", "bool", ("!true",), [True, False, None])


@pytest.mark.parametrize(
    ("path", "items", "expected"),
    [
        ("a@1.k", ("v",), [0, 1]),
        ("a@1.k", ("~[vw]",), [0, 1]),
        ("a@1.k", (None,), [2, 3, 4, 5, 6]),
        ("a.b.c.d", ("v",), [3]),
        ("n", ("5",), [4]),
        ("t", ("true",), [4]),
        ("a@1", ("text",), [5]),
    ],
)
def test_maps_by_path_and_of_a_list_one_element_is_enough(path, items, expected):
    matcher, _ = read_condition(f"structured_data.{path}", "map", items)
    assert expected == [at for at, hit in enumerate(matcher(MAPS)) if hit]


def test_a_map_itself_is_nil_or_not():
    assert [None] == matched("structured_data", "map", (None,), MAPS)
    assert MAPS[:-1] == matched("structured_data", "map", ("!null",), MAPS)


def test_lists():
    values = [["a", "b"], ["c"], [], None, (1,)]
    assert [["a", "b"]] == matched("answers", "list", ("b",), values)
    assert [[], None] == matched("answers", "list", (None,), values)
    assert [(1,)] == matched("answers", "list", ("1",), values)


def test_times_and_bytes_are_nil_or_not():
    assert [None] == matched("time", "time", (None,), [5, None])
    assert [b""] == matched("raw", "bytes", ("!null",), [b"", None])


@pytest.mark.parametrize(
    ("column", "kind", "item", "said"),
    [
        ("severity", "int", "debugg", 'severity is a number, not "debugg"; did you mean "debug"?'),
        ("port", "int", "x", 'port is a number, not "x"; as 5, ">=5", 3..5 or "!=5"'),
        ("port", "int", "1_000", 'port is a number, not "1_000"; as 5'),
        ("port", "int", "1.5", 'port is a number, not "1.5"; as 5'),
        ("port", "int", "", 'port is a number, not ""; as 5'),
        ("port", "int", ">=", 'port is a number, not ""; as 5'),
        ("structured_data", "map", "", "structured_data is a map; name what stands in it: structured_data.KEY"),
        ("severity", "int", "7..3", "7..3 is empty; write 3..7"),
        ("app_name", "str", "a*b", '"a*b": a * stands at the beginning or the end; use an expression: "~^a.*b$"'),
        ("app_name", "str", "*", '"*": a * stands at the beginning or the end; use'),
        ("app_name", "str", ">5", 'app_name is text, and ">5" compares numbers; write "=>5" for just this text'),
        ("message", "str", "~(", "message: missing ): (; the syntax is that of RE2"),
        ("peer", "str", "10.0.0.1/8", "10.0.0.1/8 has host bits set; write 10.0.0.0/8"),
        ("peer", "str", "10.0.0.1/33", "'10.0.0.1/33' does not appear to be an IPv4 or IPv6 network; a network is"),
        ("up", "bool", "yes", 'up is true or false, not "yes"; write true or false'),
        ("time", "time", "5", 'time can only be compared with nil; write null or "!null"'),
        ("structured_data", "map", "x", "structured_data is a map; name what stands in it: structured_data.KEY"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_remedy(column, kind, item, said):
    matcher, wrong = read_condition(column, kind, ("null", item))
    assert matcher is None
    ((index, text),) = wrong
    assert (1, said) == (index, text[: len(said)])


def test_an_empty_list_is_a_mistake():
    assert (None, [(-1, "app_name has no value; write one, or null for nil")]) == read_condition("app_name", "str", ())


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
CONDITIONS = [
    ("app_name", "str", ("a", "b*", "*c", "*d*", "~e", "10.0.0.0/8", None)),
    ("app_name", "str", ("!a", "!~e")),
    ("port", "int", (">=3", "7", "!5")),
    ("loss", "float", ("0.5..7",)),
    ("up", "bool", ("true",)),
    ("time", "time", (None,)),
    ("structured_data.a.b", "map", ("x", "~y")),
    ("answers", "list", ("x*",)),
]


@pytest.mark.parametrize(("column", "kind", "items"), CONDITIONS)
@given(values=st.lists(ANY, max_size=6))
def test_no_value_of_any_type_raises_and_each_is_judged_as_by_itself(column, kind, items, values):
    matcher, _ = read_condition(column, kind, items)
    alone = [bool(matcher([value])[0]) for value in values]
    assert alone == [bool(hit) for hit in matcher(values)]


def test_made_up_addresses_do_not_fill_the_memory():
    matcher, _ = read_condition("peer", "str", ("10.0.0.0/8",))
    values = [f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}" for at in range(KNOWN + 10)]
    assert all(matcher(values))
    assert all(matcher(values[:10]))
