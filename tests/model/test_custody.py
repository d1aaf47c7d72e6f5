"""Custody in random worlds: kills, lost and doubled messages, restores, clones, several hops.

A world that fails names its seed: `World(SEED).live()` lives it again, and `world.story` tells what happened.
"""

import pytest
from model.parties import Violation
from model.questions import ask_all
from model.rules import RIGHT, WRONG, Rules
from model.world import FATES, World

WORLDS = 300
SOAK_WORLDS = 30_000
WORLDS_TO_CATCH = 400
FOUND_BY_SOAK = [4148]  # an eviction whose declaration ended in a conflict between a machine and its live copy


def live(seed: int, rules: Rules = RIGHT) -> World:
    world = World(seed, rules)
    try:
        world.live()
        ask_all(world)
    except Violation as violation:
        raise Violation(f"world {seed} ({world.fate}): {violation}") from None
    return world


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [live(seed) for seed in (*range(WORLDS), *FOUND_BY_SOAK)]


def test_in_three_hundred_worlds_nothing_is_lost_in_silence_and_nothing_arrives_twice(worlds: list[World]) -> None:
    assert set(FATES) == {world.fate for world in worlds}
    assert {0, 1, 2} == {len(world.gateways) for world in worlds}


def test_the_worlds_are_hard_enough(worlds: list[World]) -> None:
    """Conflicts, evictions, rolled back and parked batches all happen, else the model proves little."""
    assert sum(bool(world.center.disk.declared) for world in worlds) > WORLDS / 10
    assert any(world.center.disk.refused for world in worlds if world.fate == "live-clone")
    assert any(world.rolled_back for world in worlds)
    assert any(sender.store.parked for world in worlds for sender in world.senders)
    assert sum(len(world.center.disk.sink) for world in worlds) > 10 * WORLDS


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_rule_is_caught(mistake: str) -> None:
    with pytest.raises(Violation):
        for seed in (*FOUND_BY_SOAK, *range(WORLDS_TO_CATCH)):
            live(seed, WRONG[mistake])


@pytest.mark.soak
@pytest.mark.parametrize("start", range(WORLDS, SOAK_WORLDS, 1000))
def test_in_thousands_of_worlds_nothing_is_lost_in_silence(start: int) -> None:
    for seed in range(start, start + 1000):
        live(seed)
