"""A peer that claims urgency too often is held back, and only that peer."""

from collectors.urgency import PEERS, UrgentLimit

SECOND = 1_000_000_000


def test_what_is_over_the_limit_in_a_second_is_told() -> None:
    limit = UrgentLimit(100)
    assert [limit.over("a", rows, now_ns=0) for rows in (60, 60, 60)] == [0, 20, 60]


def test_the_next_second_begins_anew() -> None:
    limit = UrgentLimit(100)
    assert limit.over("a", 150, now_ns=0) == 50
    assert limit.over("a", 150, now_ns=SECOND) == 50


def test_one_peer_does_not_use_up_another_ones() -> None:
    limit = UrgentLimit(100)
    limit.over("a", 1_000, now_ns=0)
    assert limit.over("b", 100, now_ns=0) == 0


def test_a_limit_of_nothing_lets_nothing_through() -> None:
    assert UrgentLimit(0).over("a", 3, now_ns=0) == 3


def test_made_up_peers_do_not_fill_the_memory() -> None:
    limit = UrgentLimit(100)
    for peer in range(3 * PEERS):
        limit.over(peer, 1, now_ns=0)
    assert len(limit._taken) <= PEERS
