"""What a mask leaves of a row: the column changed, the exact bytes gone, the rest as it was."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts.ruled import row, rules, sort

from collectors.syslog.rows import SyslogRow

SECRET = "correct horse battery"


def masked(rows, **keys):
    ((_, kept),) = sort(rules({"do": "mask", **keys}), rows).kept
    return [SyslogRow(*each) for each in kept]


def one(value, column="message", **keys):
    (got,) = masked([row(**{column: value})], column=column, **keys)
    return getattr(got, column)


def test_what_a_pattern_finds_is_replaced_and_a_group_can_stay():
    text = "login user=ann password=hunter2 Password: x"
    assert "login user=ann password=*** Password:***" == one(
        text, pattern=r"(?i)(password[:=])\s*\S+", replacement=r"\1***"
    )


def test_without_a_pattern_the_whole_value_is_replaced_and_nil_stays_nil():
    assert "***" == one("anything")
    assert "-" == one("anything", replacement="-")
    assert None is one(None)
    assert None is one("anything", by="nothing")
    assert "a  c" == one("a b c", by="nothing", pattern="b")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2::7", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("gw-1", None),
        (None, None),
    ],
)
def test_an_address_becomes_that_of_its_network_and_what_is_none_becomes_nil(address, network):
    assert network == one(address, column="peer", by="network")


def test_addresses_inside_a_text_become_those_of_their_networks():
    text = "from 192.0.2.77 to 999.1.1.1"
    assert "from 192.0.2.0 to ***" == one(text, by="network", pattern=r"\d+\.\d+\.\d+\.\d+")


def test_a_hash_is_the_same_for_the_same_text_and_another_with_another_secret():
    key = hashlib.blake2b(SECRET.encode()).digest()
    expected = hashlib.blake2b(b"ann", key=key, digest_size=8).hexdigest()
    assert f"user={expected} x" == one("user=ann x", by="hash", secret=_secret(SECRET), pattern="ann")
    assert expected == one("ann", column="app_name", by="hash", secret=_secret(SECRET))
    assert expected != one("ann", column="app_name", by="hash", secret=_secret(SECRET + "!"))


def _secret(text):
    from wire.secret import Secret

    return Secret(text)


def test_every_text_of_a_map_is_masked_and_the_map_that_rows_share_is_not():
    shared = {"a@1": {"user": "ann", "n": 5, "several": ["ann", "bob", b"ann"]}}
    rows = masked([row(structured_data=shared)], column="structured_data", pattern="ann")
    assert {"a@1": {"user": "***", "n": 5, "several": ["***", "bob", None]}} == rows[0].structured_data
    assert {"a@1": {"user": "ann", "n": 5, "several": ["ann", "bob", b"ann"]}} == shared


def test_below_eight_levels_nothing_stays():
    deep = {"k": "ann"}
    for _ in range(10):
        deep = {"d": deep}
    assert "ann" not in repr(one(deep, column="structured_data", pattern="xyz"))


def test_the_exact_bytes_go_with_every_hit_even_if_nothing_was_found():
    rows = [
        row(message="password=x", raw=b"<13>password=x", flag="no-time"),
        row(message="clean", raw=b"<13>password=x"),
    ]
    got = masked(rows, column="message", pattern=r"password=\S+")
    assert [("***", None, "no-time masked"), ("clean", None, "masked")] == [(r.message, r.raw, r.flag) for r in got]


def test_rows_that_a_mask_changes_nothing_in_are_the_objects_they_were():
    rows = [row(message="clean"), row(message=None)]
    ((_, kept),) = sort(rules({"do": "mask", "column": "message", "pattern": "x"}), rows).kept
    assert all(one is other for one, other in zip(rows, kept, strict=True))


def test_only_rows_that_the_conditions_hit_are_masked():
    rows = [row(message="x", raw=b"x"), row(message="x", raw=b"x", app_name="su")]
    got = masked(rows, column="message", pattern="x", where={"app_name": "su"})
    assert [("x", b"x", None), ("***", None, "masked")] == [(r.message, r.raw, r.flag) for r in got]


def test_a_flag_can_be_masked_itself():
    assert None is one("cut", column="flag", by="nothing")


@given(
    messages=st.lists(st.none() | st.text(st.sampled_from("ab \né"), max_size=12), max_size=8),
    raws=st.none() | st.binary(max_size=8),
)
def test_no_text_that_the_pattern_finds_in_a_line_leaves_by_any_column(messages, raws):
    for got in (
        masked([row(message=text, raw=raws) for text in messages], column="message", pattern="a+b") if messages else ()
    ):
        assert "ab" not in (got.message or "")
        assert got.raw is None
