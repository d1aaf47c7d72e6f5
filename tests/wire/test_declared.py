import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts.batches import EPOCH, START_NS

from agent.events import AGENT, row
from wire.declared import Declared, UncleanStop, read_declared, read_unclean_stops
from wire.names import MAX_SEQ

DETAIL = {
    "epoch": EPOCH,
    "lane": "normal",
    "first_seq": 3,
    "last_seq": 7,
    "rows": 5000,
    "first_ns": START_NS,
    "last_ns": START_NS,
    "reason": "limit",
}


def declared(event: str = "evicted", **values: object) -> list[Declared]:
    return read_declared(AGENT.columns, [row(event, text="", detail={**DETAIL, **values})])


@pytest.mark.parametrize("event", ["evicted", "dropped"])
def test_an_eviction_and_a_drop_declare_a_range(event: str) -> None:
    assert [Declared(EPOCH, 1, 3, 7, 5000, "limit")] == declared(event, later=1)


@pytest.mark.parametrize(
    "values",
    [
        {"epoch": None},
        {"epoch": b"short"},
        {"lane": 1},
        {"lane": "fast"},
        {"lane": ["normal"]},
        {"first_seq": 0},
        {"first_seq": 8},
        {"first_seq": 1 << 63},
        {"last_seq": MAX_SEQ + 1},
        {"last_seq": True},
        {"rows": -1},
        {"rows": (1 << 64) - 1},
        {"reason": None},
    ],
)
def test_what_is_not_as_specified_declares_nothing(values: dict[str, object]) -> None:
    assert declared(**values) == []


def test_other_events_and_other_columns_declare_nothing() -> None:
    assert declared("started") == []
    assert read_declared(AGENT.columns, [row("dropped", text="", detail={"collector": "syslog", "rows": 3})]) == []
    assert read_declared(AGENT.columns, [row("evicted", text="")]) == []
    assert read_declared((("time", "time"), ("detail", "map")), [[1, DETAIL]]) == []
    assert read_declared((("event", "map"), ("detail", "str")), [[{}, "x"], [None, None]]) == []


VALUES = st.none() | st.booleans() | st.integers() | st.binary() | st.text() | st.lists(st.text())


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(DETAIL)), VALUES), VALUES | st.dictionaries(st.text(), VALUES))
def test_any_detail_is_read_or_declares_nothing(values: dict[str, object], detail: object) -> None:
    for one in declared(**values):
        assert 1 <= one.first_seq <= one.last_seq <= MAX_SEQ
    assert read_declared(AGENT.columns, [(1, 1, "evicted", 3, "", detail)]) == []


def test_an_unclean_stop_tells_between_which_times_intake_is_unknown() -> None:
    told = {"first_ns": START_NS, "last_ns": START_NS + 1, "later": 1}
    rows = [row("unclean-stop", text="", detail=told), row("started", text="", detail=told)]
    assert [UncleanStop(START_NS, START_NS + 1)] == read_unclean_stops(AGENT.columns, rows)
    assert [] == read_unclean_stops((("time", "time"),), [(1,)])


@pytest.mark.parametrize(
    "detail", [None, {}, {"first_ns": 1}, {"first_ns": 1, "last_ns": "2"}, {"first_ns": True, "last_ns": 2}]
)
def test_what_is_no_unclean_stop_is_a_row_like_any_other(detail: object) -> None:
    assert [] == read_unclean_stops(AGENT.columns, [row("unclean-stop", text="", detail=detail)])  # type: ignore[arg-type]
