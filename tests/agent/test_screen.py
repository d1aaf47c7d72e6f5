"""The screen against expected texts; `EDGEPOST_GOLDEN=write` writes them anew, to be read in the diff."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from parts import facts as fixtures

from agent.cells import WIDTH, cells, wrap
from agent.health import find_problems, verdict
from agent.losses import Loss
from agent.reasons import OF_CUSTODY
from agent.screen import account_of, draw, draw_absent
from collectors.syslog.reasons import REASONS as SYSLOG

GOLDEN = Path(__file__).parent / "testdata" / "screen"
LOSSES = [
    Loss("syslog", next(reason for reason in SYSLOG if reason.name == "kernel"), 1_203),
    Loss("syslog", next(reason for reason in SYSLOG if reason.name == "connection-limit"), 1),
    Loss("buffer", next(reason for reason in OF_CUSTODY if reason.name == "evicted-limit"), 5_000),
]
CASES = {
    "healthy": (fixtures.healthy, ()),
    "degraded": (fixtures.degraded, LOSSES),
    "guarded": (fixtures.guarded, ()),
    "down": (fixtures.down, ()),
    "huge": (fixtures.huge, ()),
    "hostile": (fixtures.hostile, ()),
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def judged(make: Callable[[], dict[str, Any]], losses: Sequence[Loss]) -> dict[str, Any]:
    facts = make()
    problems = find_problems(facts, losses)
    return facts | {"problems": problems, "health": verdict(problems)}


@pytest.mark.parametrize("case", CASES)
def test_the_screen_is_the_expected_text(case):
    drawn = draw(judged(*CASES[case]))
    expected = GOLDEN / f"{case}.txt"
    if os.environ.get("EDGEPOST_GOLDEN") == "write":
        expected.write_text(drawn, encoding="utf-8")
    assert expected.read_text(encoding="utf-8") == drawn


@pytest.mark.parametrize("case", CASES)
def test_no_line_is_wider_than_the_screen(case):
    drawn = draw(judged(*CASES[case]))
    assert [line for line in drawn.splitlines() if cells(line) > WIDTH] == []


@pytest.mark.parametrize("case", CASES)
def test_nothing_but_our_own_colours_reaches_the_terminal(case):
    drawn = draw(judged(*CASES[case]), is_coloured=True)
    assert "\x1b[" in drawn
    bare = ANSI.sub("", drawn)
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", bare) == []
    assert bare == draw(judged(*CASES[case]))


def test_the_verdict_stands_in_words_not_in_colour_alone():
    for case, (make, losses) in CASES.items():
        facts = judged(make, losses)
        assert facts["health"].upper() in draw(facts).splitlines()[0], case


def test_facts_without_anything_in_them_can_be_drawn():
    assert draw({}).startswith("?")


def test_an_absent_agent_is_down_and_says_what_to_do():
    text = draw_absent("no agent answers at /run/edgepost/status.sock: No such file", "systemctl status edgepost")
    assert "DOWN" in text
    assert "systemctl status edgepost" in text


def test_the_account_closes_per_stream():
    facts = fixtures.healthy()
    facts["buffer"]["account"].append({"origin": "a", "stream": "syslog", "what": "dropped:evicted-limit", "rows": 7})
    assert account_of(facts)["syslog"] == {"received": 1_234_567, "confirmed": 1_233_400, "held": 1_160, "dropped": 7}


def test_wrapping_never_exceeds_its_width_and_keeps_short_words():
    lines = wrap("one two " + "x" * 200 + " three", 20, indent="    ")
    assert all(cells(line) <= 20 for line in lines)
    assert "three" in lines[-1]
