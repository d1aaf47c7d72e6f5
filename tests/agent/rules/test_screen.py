"""How rules look in `edgepost status`."""

from parts import facts as fixtures

from agent.cells import WIDTH, cells
from agent.screen import draw


def test_each_rule_is_one_line_with_its_counts_and_no_line_is_too_wide():
    facts = fixtures.healthy()
    facts["rules"] = [
        {
            "name": "n" * 58,
            "do": "sample",
            "stream": "syslog",
            "hits": 123_456_789,
            "dropped": 111_111_111,
            "last_hit_ns": facts["now_ns"] - 120 * 10**9,
        },
        {"name": "no-debug", "do": "drop", "stream": "syslog", "hits": 0, "dropped": 0, "last_hit_ns": None},
    ]
    lines = draw(facts).splitlines()
    at = lines.index("Rules, in rows since start")
    assert ["name", "do", "stream", "hits", "dropped", "last", "hit"] == lines[at + 1].split()
    assert [f"{'n' * 24}…", "sample", "syslog", "123.5", "M", "111.1", "M", "2", "min", "ago"] == lines[at + 2].split()
    assert ["no-debug", "drop", "syslog", "0", "0", "never"] == lines[at + 3].split()
    assert [] == [line for line in lines if cells(line) > WIDTH]


def test_without_rules_nothing_is_shown_of_them():
    assert "Rules" not in draw(fixtures.healthy())
