"""Severity decides the lane as the settings say, and the urgent limit holds one peer back in its place."""

import pytest
from parts.sinks import ListSink

from collectors.sink import Lane
from collectors.syslog.config import Lanes, Syslog
from collectors.syslog.lanes import LaneSorter, lane_of

SECOND = 1_000_000_000


def row(severity: int, number: int, peer: str = "192.0.2.1", received: int = 0) -> tuple:
    return (None, received, peer, 514, "udp", None, 1, severity, *[None] * 5, str(number), "none", None, None, None)


def by_lane(sink: ListSink) -> dict[Lane, list[int]]:
    return {
        lane: [int(row[13]) for _, its, row in sink.puts if its is lane]
        for lane in sorted({its for _, its, _ in sink.puts})
    }


@pytest.mark.parametrize("severity", range(8))
def test_the_default_lanes(severity: int) -> None:
    expected = Lane.URGENT if severity <= 3 else Lane.BULK if severity == 7 else Lane.NORMAL
    assert lane_of(severity, Syslog()) is expected


def test_the_lanes_can_be_set() -> None:
    config = Syslog(lanes=Lanes(err="normal", warning="bulk", debug="urgent"))
    assert [lane_of(severity, config).name for severity in (3, 4, 7)] == ["NORMAL", "BULK", "URGENT"]


def test_rows_of_one_lane_are_put_at_once_as_they_came() -> None:
    sink, rows = ListSink(), [row(6, number) for number in range(5)]
    LaneSorter(Syslog(), sink).put(rows)
    assert sink.rows == rows


def test_no_rows_are_no_put() -> None:
    sink = ListSink()
    LaneSorter(Syslog(), sink).put([])
    assert sink.puts == []


def test_mixed_rows_keep_their_order_within_each_lane() -> None:
    sink = ListSink()
    LaneSorter(Syslog(), sink).put([row(severity, number) for number, severity in enumerate((6, 3, 7, 5, 0, 7, 4))])
    assert by_lane(sink) == {Lane.URGENT: [1, 4], Lane.NORMAL: [0, 3, 6], Lane.BULK: [2, 5]}


def test_a_peer_over_the_limit_goes_on_in_the_normal_lane_and_others_are_spared() -> None:
    sink = ListSink()
    sorter = LaneSorter(Syslog(urgent_rows_per_second=2), sink)
    sorter.put([row(3, n, "a" if n % 2 else "b") for n in range(4)] + [row(6, 4)] + [row(3, n, "a") for n in (5, 6)])
    assert by_lane(sink) == {Lane.URGENT: [0, 1, 2, 3], Lane.NORMAL: [4, 5, 6]}
    assert sink.counted["urgent-limit"] == 2
    sorter.put([row(3, 7, "a", SECOND)])
    assert by_lane(sink)[Lane.URGENT] == [0, 1, 2, 3, 7]
