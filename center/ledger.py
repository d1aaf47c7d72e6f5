"""The ledger at the center: per agent, epoch and lane what arrived, what waits, what was declared lost, what is missing.

A seq up to the `last` that the agent has told of is: arrived, or still held there (from `first_held` on), or declared
lost, or missing. Only the last is an alarm.
"""

import textwrap
from typing import Any, Final

from center.memory import Memory, Ranges
from wire.batch import Refused
from wire.names import LANES, MAX_SEQ
from wire.state import Span, State, decode_state
from wire.text import printable

_WIDTH: Final = 80


def make_ledger(memory: Memory) -> dict[str, Any]:
    """Close the account of everything that this receiver knows.

    Returns:
        `{"closed": bool, "spans": [...], "rows": [...], "agents": [...]}`, as plain values for JSON.
    """
    states: dict[str, State] = {}
    agents = []
    for agent, site, heard_ns, payload in memory.states():
        try:
            states[agent] = state = decode_state(payload)
        except Refused:
            continue
        online = "online" if state.online else "offline"
        agents.append({"agent": agent, "site": site, "state": online, "heard_ns": heard_ns, "health": state.health})
    spans = _spans(memory, states)
    rows = [
        {
            "agent": agent,
            "stream": stream,
            "committed": rows,
            "confirmed": states[agent].confirmed.get(stream) if agent in states else None,
        }
        for (agent, stream), rows in sorted(memory.rows.items())
    ]
    closed = not any(span["missing"] for span in spans)
    return {"closed": closed, "agents": agents, "spans": spans, "rows": rows}


def _spans(memory: Memory, states: dict[str, State]) -> list[dict[str, Any]]:
    held = {(agent, span.epoch, span.lane): span for agent, state in states.items() for span in state.spans}
    told = memory.told()
    declared: dict[tuple[str, bytes, int], list[tuple[int, int]]] = {}
    for loss in memory.declared():
        declared.setdefault((loss.agent, loss.epoch, loss.lane), []).append((loss.first, loss.last))
    found = []
    for key in sorted({*memory.ranges, *told, *declared}):
        ranges = memory.ranges.get(key, Ranges())
        last = max(ranges.lasts[-1] if ranges.lasts else 0, told.get(key, 0))
        holes = _holes(ranges, last)
        waiting = _waiting(holes, held.get(key), is_current=key[0] in states and states[key[0]].epoch == key[1])
        lost = [part for first, end in declared.get(key, []) for part in _cut(holes, first, end)]
        missing = _without(_without(holes, waiting), declared.get(key, []))
        found.append(
            {
                "agent": key[0],
                "epoch": key[1].hex(),
                "lane": LANES[key[2]],
                "arrived": _count(list(zip(ranges.firsts, ranges.lasts, strict=True))),
                "waiting": _count(waiting),
                "declared": _count(lost),
                "missing": [list(hole) for hole in missing],
                "last": last,
            }
        )
    return found


def _waiting(holes: list[tuple[int, int]], held: Span | None, *, is_current: bool) -> list[tuple[int, int]]:
    """The holes that the agent holds; in its current epoch also those above what its last state knew of."""
    if held is None:
        return list(holes) if is_current else []
    waiting = _cut(holes, held.first_held, held.last)
    return waiting + (_cut(holes, held.last + 1, MAX_SEQ) if is_current else [])


def _holes(ranges: Ranges, last: int) -> list[tuple[int, int]]:
    holes, at = [], 1
    for first, end in zip(ranges.firsts, ranges.lasts, strict=True):
        if first > at:
            holes.append((at, first - 1))
        at = end + 1
    if at <= last:
        holes.append((at, last))
    return holes


def _cut(holes: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    cut = [(max(first, start), min(last, end)) for start, end in holes]
    return [(start, end) for start, end in cut if start <= end]


def _without(holes: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for first, last in others:
        holes = [*_cut(holes, 1, first - 1), *_cut(holes, last + 1, MAX_SEQ)]
    return holes


def _count(ranges: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def show_ledger(ledger: dict[str, Any]) -> str:
    """The ledger for people, at most 80 columns wide."""
    lines = ["CLOSED: nothing is missing" if ledger["closed"] else "MISSING: rows were lost that nobody declared"]
    lines += ["", f"{'AGENT':<20} {'STATE':<8} {'HEALTH':<9} SITE"]
    lines += [
        f"{one['agent']:<20.20} {one['state']:<8} {printable(one['health']):<9.9} {one['site']:.30}"
        for one in ledger["agents"]
    ]
    lines += [
        "",
        f"{'AGENT':<20} {'EPOCH':<9} {'LANE':<7} {'ARRIVED':>9} {'WAITING':>8} {'DECLARED':>8} {'MISSING':>8}",
    ]
    for one in ledger["spans"]:
        missing = _count([tuple(hole) for hole in one["missing"]])
        numbers = f"{one['arrived']:>9} {one['waiting']:>8} {one['declared']:>8} {missing:>8}"
        lines.append(f"{one['agent']:<20.20} {one['epoch'][:8]:<9} {one['lane']:<7} {numbers}")
    lines += ["", f"{'AGENT':<20} {'STREAM':<12} {'COMMITTED ROWS':>15} {'CONFIRMED THERE':>16}"]
    for one in ledger["rows"]:
        confirmed = "-" if one["confirmed"] is None else one["confirmed"]
        lines.append(f"{one['agent']:<20.20} {one['stream']:<12.12} {one['committed']:>15} {confirmed:>16}")
    return "\n".join([*lines, *_since_start(ledger)])


def _since_start(ledger: dict[str, Any]) -> list[str]:
    """What a running receiver has counted, and what is wrong with it."""
    counts = ", ".join(f"{number} {what}" for what, number in sorted(ledger.get("counts", {}).items()))
    said = [f"Since the receiver's start: {counts}"] if counts else []
    said += [printable(f"The sink fails: {ledger['problem']}")] if ledger.get("problem") else []
    return [line for text in said for line in ("", *textwrap.wrap(text, _WIDTH, subsequent_indent="  "))]
