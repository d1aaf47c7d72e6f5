"""The ledger at the center: per agent, epoch and lane what arrived, waits, was declared lost or refused, is missing.

A seq up to the greatest that the agent has told of, or that has arrived, is exactly one of:

    arrived    committed here
    declared   its agent has said that it is lost, and why
    refused    we could not take it; its bytes are in `refused/`
    waiting    its agent still holds it (from `first_held` on)
    missing    none of these: an alarm

What arrived all the same, after it was declared or refused, counts as arrived.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from center.memory import DECLARED, REFUSED, Memory
from center.names import Span as Place
from wire.decode import Refused
from wire.names import LANES, MAX_SEQ
from wire.state import Span, State, decode_state

Parts = list[tuple[int, int]]
"""Ranges of seq, both ends included, sorted and disjoint."""


def make_ledger(memory: Memory) -> dict[str, Any]:
    """Close the account of everything that this receiver knows.

    Returns:
        `closed`, `agents`, `spans`, `rows`, `stops` and `refused`, as plain values for JSON (`docs/center.md`).
    """
    states, agents = _agents(memory)
    spans = _spans(memory, states)
    return {
        "closed": not any(span["missing"] for span in spans),
        "agents": agents,
        "spans": spans,
        "rows": [
            {"agent": agent, "stream": stream, "committed": rows, "confirmed": _confirmed(states.get(agent), stream)}
            for agent, stream, rows in memory.rows()
        ],
        "stops": [
            {"agent": agent, "first_ns": first_ns, "last_ns": last_ns} for agent, first_ns, last_ns in memory.stops()
        ],
        "refused": [
            {
                "reason": reason,
                "kept": kept.payloads,
                "kept_bytes": kept.bytes,
                "discarded": discarded.payloads,
                "discarded_bytes": discarded.bytes,
            }
            for reason, (kept, discarded) in memory.refused().items()
        ],
    }


def _agents(memory: Memory) -> tuple[dict[str, State], list[dict[str, Any]]]:
    states: dict[str, State] = {}
    agents = []
    for agent, site, heard_ns, payload in memory.states():
        try:
            states[agent] = state = decode_state(payload)
        except Refused:  # kept by another version
            continue
        online = "online" if state.online else "offline"
        agents.append(
            {
                "agent": agent,
                "site": site,
                "state": online,
                "heard_ns": heard_ns,
                "health": state.health,
                "epoch": state.naming.hex(),
            }
        )
    return states, agents


def _confirmed(state: State | None, stream: str) -> int | None:
    return None if state is None else state.confirmed.get(stream)


def _spans(memory: Memory, states: dict[str, State]) -> list[dict[str, Any]]:
    held = {(agent, span.epoch, span.lane): span for agent, state in states.items() for span in state.spans}
    found = []
    for place, number, told in memory.spans():
        arrived = memory.arrived(number)
        last = max(arrived[-1][1] if arrived else 0, told)
        is_current = place[0] in states and states[place[0]].naming == place[1]
        holes = without([(1, last)] if last else [], arrived)
        declared = within(holes, merge(memory.lost(number, DECLARED))) if holes else []
        holes = without(holes, declared)
        refused = within(holes, merge(memory.lost(number, REFUSED))) if holes else []
        holes = without(holes, refused)
        waiting = _waiting(holes, held.get(place), is_current=is_current)
        missing = without(holes, waiting)
        found.append(
            {
                **_place(place),
                "current": is_current,
                "last": last,
                "arrived": count(arrived),
                "waiting": count(waiting),
                "declared": count(declared),
                "refused": count(refused),
                "missing": [list(part) for part in missing],
            }
        )
    return found


def _place(place: Place) -> dict[str, Any]:
    agent, epoch, lane = place
    return {"agent": agent, "epoch": epoch.hex(), "lane": LANES[lane]}


def _waiting(holes: Parts, held: Span | None, *, is_current: bool) -> Parts:
    """The holes that the agent holds; in its current epoch also those above what its last state knew of."""
    if held is None:
        return holes if is_current else []
    return within(holes, [(held.first_held, MAX_SEQ if is_current else held.last)])


# --- ranges ------------------------------------------------------------------------------------------------------------


def merge(parts: Iterable[tuple[int, int]]) -> Parts:
    """Make sorted ranges disjoint."""
    merged: Parts = []
    for first, last in parts:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def without(parts: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> Parts:
    """What is in `parts` and not in `others`; both sorted and disjoint."""
    left: Parts = []
    at = 0
    for first, last in parts:
        start = first
        while at < len(others) and others[at][1] < start:
            at += 1
        index = at
        while index < len(others) and others[index][0] <= last:
            if others[index][0] > start:
                left.append((start, others[index][0] - 1))
            start = others[index][1] + 1
            index += 1
        at = max(at, index - 1)
        if start <= last:
            left.append((start, last))
    return left


def within(parts: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> Parts:
    """What is in both; both sorted and disjoint."""
    return without(parts, without(parts, others))


def count(parts: Iterable[tuple[int, int]]) -> int:
    """How many numbers are in disjoint ranges."""
    return sum(last - first + 1 for first, last in parts)
