import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts.batches import COLUMNS, HEAD, ROW, START_NS

from wire.names import RESERVED_COLUMNS
from wire.render import envelope_of, render_row, render_rows

ALL = (
    ("t", "time"),
    ("n", "int"),
    ("x", "float"),
    ("b", "bool"),
    ("s", "str"),
    ("raw", "bytes"),
    ("m", "map"),
    ("items", "list"),
)


def test_every_type_is_rendered_by_the_columns_alone() -> None:
    row = [START_NS, (1 << 64) - 1, 0.5, False, "é\n\u2028", b"\x00\xff", {"a": [1, b"\x01"]}, [None]]
    assert json.loads(render_rows(ALL, [row])) == {
        "t": "2026-01-01T00:00:00.000000000Z",
        "n": (1 << 64) - 1,
        "x": 0.5,
        "b": False,
        "s": "é\n\u2028",
        "raw_b64": "AP8=",
        "m": {"a": [1, "AQ=="]},
        "items": [None],
    }


def test_nil_is_null_in_every_column() -> None:
    assert set(json.loads(render_rows(ALL, [[None] * 8])).values()) == {None}


def test_the_envelope_comes_first_with_the_index_of_the_row() -> None:
    lines = render_rows(COLUMNS, [ROW, ROW], envelope_of(HEAD)).decode().splitlines()
    keys = list(json.loads(lines[1]))
    assert set(keys[:7]) == RESERVED_COLUMNS
    assert keys == ["stream", "site", "agent", "epoch", "lane", "seq", "row", "time", "received", "text"]
    assert [json.loads(line)["row"] for line in lines] == [0, 1]
    assert json.loads(lines[0])["lane"] == "normal"


def test_a_single_row_has_the_keys_and_values_of_its_line() -> None:
    row = [START_NS, 1, 0.5, True, "s", b"x", {}, []]
    assert render_row(ALL, row) == json.loads(render_rows(ALL, [row]))


def test_rendering_leaves_the_rows_as_they_were() -> None:
    row = [START_NS, START_NS, "text"]
    render_rows(COLUMNS, [row])
    assert row == [START_NS, START_NS, "text"]


def test_a_row_of_another_width_is_an_error() -> None:
    with pytest.raises(ValueError):
        render_rows(COLUMNS, [[1, 2, "x", 4]])
    with pytest.raises((ValueError, IndexError)):
        render_rows(COLUMNS, [[1]])


@given(st.text(), st.floats(), st.integers(-(1 << 63), (1 << 64) - 1))
def test_any_values_give_one_line_of_json(text: str, number: float, integer: int) -> None:
    line = render_rows((("t", "time"), ("s", "str"), ("x", "float")), [[integer, text, number]])
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["s"] == text
