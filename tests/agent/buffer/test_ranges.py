"""Ranges against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from agent.buffer.ranges import Ranges


@given(st.lists(st.integers(0, 30)))
def test_ranges_hold_what_a_set_holds(numbers):
    ranges, known = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in known)
        known.add(number)
    assert [number in ranges for number in range(-1, 32)] == [number in known for number in range(-1, 32)]
    assert all(last + 1 < first for last, first in zip(ranges._lasts, ranges._firsts[1:], strict=False))
