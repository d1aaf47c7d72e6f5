"""Rules in their order over chunks of rows: what is kept, in which lane, what is dropped by which rule, all counted."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts.ruled import row, rule, rules, sort

from agent.events import AGENT
from agent.events import row as agent_row
from agent.rules import Rules, Sorted, actions
from agent.rules.streams import STREAMS
from collectors.sink import Lane
from collectors.syslog.rows import SYSLOG, SyslogRow

MESSAGE = SyslogRow._fields.index("message")


def named(*names, **columns):
    return [row(message=name, **columns) for name in names]


def messages(done, lane=1):
    return [each[MESSAGE] for into, some in done.kept if into == lane for each in some]


def test_without_rules_a_chunk_goes_on_as_the_object_it_came_as():
    rows = named("x")
    assert rows is sort(Rules(()), rows).kept[0][1]
    assert rows is sort(rules({"where": {"message": "y"}}), rows).kept[0][1]


def test_a_drop_takes_its_hits_and_leaves_the_others_in_order():
    done = sort(rules({"where": {"message": ["b", "d"]}}), named(*"abcde"))
    assert ["a", "c", "e"] == messages(done)
    assert ["b", "d"] == [each[MESSAGE] for each in done.dropped]
    assert [("a", 2)] == done.losses


def test_all_conditions_must_hold():
    made = rules({"where": {"message": "~a", "severity": "<=4", "peer": "10.0.0.0/8"}})
    rows = [row(message="a", severity=4), row(message="a", severity=5), row(message="b", severity=4)]
    rows.append(row(message="a", severity=4, peer="192.0.2.1"))
    assert [rows[0]] == sort(made, rows).dropped


def test_the_first_drop_that_hits_ends_a_row():
    made = rules({"where": {"message": "a"}}, {"where": {"message": ["a", "b"]}})
    done = sort(made, named("a", "b", "c"))
    assert ([("a", 1), ("b", 1)], ["c"]) == (done.losses, messages(done))
    assert [1, 1] == [one["hits"] for one in made.facts()]


def test_what_is_kept_is_seen_by_no_later_rule_and_stays_in_its_place():
    made = rules({"do": "keep", "where": {"message": ["b", "d"]}}, {"where": {"message": ["a", "b", "e"]}})
    done = sort(made, named(*"abcdef"))
    assert ["b", "c", "d", "f"] == messages(done)


def test_after_a_lane_the_next_rules_see_the_row():
    made = rules(
        {"do": "lane", "lane": "bulk", "where": {"message": ["a", "b"]}},
        {"do": "lane", "lane": "urgent", "where": {"message": "b"}},
        {"where": {"message": "c"}},
    )
    done = sort(made, named(*"abcd"))
    assert {0: ["b"], 1: ["d"], 2: ["a"]} == {lane: messages(done, lane) for lane in Lane}


def test_a_later_rule_sees_the_masked_text():
    made = rules({"do": "mask", "column": "message", "pattern": "secret"}, {"where": {"message": "~secret"}})
    assert ["*** x"] == messages(sort(made, named("secret x")))


def test_a_sample_keeps_the_first_of_each_n_over_chunks_and_per_key():
    made = rules({"do": "sample", "one_of": 3, "per": ["peer"]})
    kept = []
    for chunk in range(3):
        rows = [row(peer=peer, message=f"{chunk}{at}") for at in range(2) for peer in ("10.0.0.1", "10.0.0.2")]
        kept.append(messages(sort(made, rows)))
    assert [["00", "00"], ["11", "11"], []] == kept
    assert [(12, 8)] == [(one["hits"], one["dropped"]) for one in made.facts()]


def test_a_limit_keeps_the_first_of_each_second_of_receipt():
    made = rules({"do": "limit", "rows_per_second": 2, "per": ["peer", "app_name"]})
    second = 1_000_000_000
    assert ["a", "b"] == messages(sort(made, named("a", "b", "c", received=5 * second)))
    assert [] == messages(sort(made, named("d", received=5 * second + 9)))
    assert ["e"] == messages(sort(made, named("e", received=5 * second + 9, app_name="x")))
    assert ["f"] == messages(sort(made, named("f", received=6 * second)))
    assert ["g"] == messages(sort(made, named("g", received=1 * second)))  # the clock was set back


def test_made_up_keys_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(actions, "KEYS", 10)
    made = rules({"do": "sample", "one_of": 2, "per": ["peer"]}, {"do": "limit", "rows_per_second": 1, "per": ["port"]})
    numbers = count()
    for _ in range(5):
        rows = [row(peer=f"10.0.0.{next(numbers)}", port=next(numbers)) for _ in range(11)]
        assert 11 == sum(len(some) for _, some in sort(made, rows).kept)


def test_a_rule_is_for_every_stream_that_has_its_columns_and_never_for_the_agents_own():
    made = Rules([rule(where={"severity": ">=0"}), rule(name="all")])
    assert Sorted([(0, [])]) == made.sort(AGENT, [], 0)
    assert [(0, [agent_row("ping", text="x")[2:]])] == [
        (lane, [each[2:] for each in some]) for lane, some in made.sort(AGENT, [agent_row("ping", text="x")], 0).kept
    ]
    assert set(STREAMS) == {one["stream"] for one in made.facts() if one["name"] == "all"}
    assert "agent" not in STREAMS


def test_facts_count_hits_and_drops_and_tell_the_last_hit():
    made = rules({"do": "lane", "lane": "bulk", "where": {"message": "a"}}, {"where": {"message": "b"}})
    sort(made, named("a", "a", "b"))
    facts = made.facts()
    assert [("a", "lane", "syslog", 2, 0), ("b", "drop", "syslog", 1, 1)] == [tuple(one.values())[:5] for one in facts]
    assert all(one["last_hit_ns"] for one in facts)


# ---- any rows, any rules ----

TEXT = st.sampled_from(["a", "b", "ab", "10.0.0.1", "10.0.1.1", "a\nb", "\ud800", ""]) | st.text(max_size=4)
ROWS = st.lists(
    st.builds(
        row,
        peer=st.none() | TEXT,
        severity=st.integers(0, 7),
        app_name=st.none() | TEXT,
        structured_data=st.none()
        | st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT | st.lists(TEXT), max_size=2), max_size=2),
        message=st.none() | TEXT,
        flag=st.none() | st.just("cut"),
        raw=st.none() | st.binary(max_size=3),
        received=st.integers(0, 3_000_000_000),
    ),
    max_size=12,
)
WHERE = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from([">=4", "3", ["0..2", "!1"], "!7"]),
        "app_name": st.sampled_from(["a*", "~a|b", [None, "b"], "!a", "*b"]),
        "message": st.sampled_from(["~^a", "*b*", "!~a", None]),
        "peer": st.sampled_from(["10.0.0.0/24", ["10.0.0.0/8", "!10.0.0.1"]]),
        "structured_data.a.b": st.sampled_from(["a", "~b", None]),
    },
)
DO = st.sampled_from(
    [
        {"do": "drop"},
        {"do": "keep"},
        {"do": "lane", "lane": "bulk"},
        {"do": "lane", "lane": "urgent"},
        {"do": "sample", "one_of": 2},
        {"do": "sample", "one_of": 3, "per": ["peer", "app_name"]},
        {"do": "limit", "rows_per_second": 1, "per": ["app_name"]},
        {"do": "mask", "column": "message", "pattern": "a"},
        {"do": "mask", "column": "structured_data", "pattern": "a", "by": "nothing"},
        {"do": "mask", "column": "peer", "by": "network"},
        {"do": "mask", "column": "app_name", "by": "nothing"},
    ]
)
RULES = st.lists(st.builds(lambda do, where: {**do, "where": where}, DO, WHERE), max_size=5)


def _same(one, other):
    """Tell whether two rows are the same but for what masks may change."""
    masked = {"peer", "app_name", "structured_data", "message", "flag", "raw"}
    free = [at for at, name in enumerate(SyslogRow._fields) if name not in masked]
    return all(one[at] == other[at] for at in free)


@given(several=RULES, chunks=st.lists(ROWS, max_size=3), lane=st.sampled_from(list(Lane)))
def test_no_rule_raises_on_any_rows_and_kept_and_dropped_are_what_was_put_in_its_order(several, chunks, lane):
    made, dropped = rules(*several), 0
    for number, rows in enumerate(chunks):
        marked = [row(**{**SyslogRow(*each)._asdict(), "port": at}) for at, each in enumerate(rows)]
        done = sort(made, marked, lane)
        kept = [each for _, some in done.kept for each in some]
        assert len(marked) == len(kept) + len(done.dropped), number
        assert Counter(each[3] for each in marked) == Counter(each[3] for each in [*kept, *done.dropped])
        for _, some in done.kept:
            assert sorted(each[3] for each in some) == [each[3] for each in some]
        assert all(_same(each, marked[each[3]]) for each in kept)
        assert len(done.dropped) == sum(lost for _, lost in done.losses)
        dropped += len(done.dropped)
    assert dropped == sum(one["dropped"] for one in made.facts())


@given(several=RULES.filter(lambda some: not any(one["do"] in {"sample", "limit"} for one in some)), rows=ROWS)
def test_a_chunk_is_treated_as_its_rows_one_by_one(several, rows):
    whole = sort(rules(*several), rows)
    alone = [sort(rules(*several), [each]) for each in rows]
    for lane in Lane:
        expected = [each for done in alone for into, some in done.kept if into == lane for each in some]
        assert expected == [each for into, some in whole.kept if into == lane for each in some]
    assert sorted(map(repr, whole.dropped)) == sorted(repr(each) for done in alone for each in done.dropped)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_each_column_of_each_stream_can_be_asked_for_nil(stream):
    for column, kind in stream.columns:
        name = f"{column}.x" if kind == "map" else column
        made = Rules([rule(stream=stream.name, where={name: None})])
        nothing = (None,) * len(stream.columns)
        assert [nothing] == list(made.sort(stream, [nothing], 1).dropped)
        made = Rules([rule(stream=stream.name, where={name: "!null"})])
        assert [] == list(made.sort(stream, [nothing], 1).dropped)


def test_rows_of_one_stream_are_not_touched_by_rules_of_another():
    made = Rules([rule(stream="syslog")])
    assert [] == list(made.sort(AGENT, [agent_row("x", text="")], 0).dropped)
    assert 1 == len(made.sort(SYSLOG, [row()], 0).dropped)
