"""Tables of results: one row a number, one column a contestant, and how many times edgepost's number is theirs.

A bar is what the project set itself before it was measured: `>= 400,000` or `<= 3`.
"""

from collections.abc import Iterator
from typing import Any

from results import Numbers, medians, spread

BARS: dict[str, dict[str, str]] = {
    "tcp-max": {"events/s": ">= 400000", "cpu us": "<= 3", "wire B": "<= 26", "pss MB": "<= 60"},
    "firewalls": {"events/s": ">= 200000", "pss MB": "<= 60"},
    "steady-5000": {"cpu us": "<= 8", "pss MB": "<= 60"},
    "latency-5000": {"median ms": "<= 300", "p99 ms": "<= 1000", "wire B": "<= 26"},
    "udp-max 8 MiB": {"events/s": ">= 200000", "pss MB": "<= 60"},
    "udp-max default buffer": {"events/s": ">= 75000"},
    "catch-up": {"waiting pss MB": "<= 60", "drain pss MB": "<= 60", "not delivered": "<= 0"},
    "idle": {"idle cpu %": "<= 0.3", "idle pss MB": "<= 45"},
    "start-up": {
        "start s": "<= 0.5",
        "start with backlog s": "<= 0.5",
        "backlog pss MB": "<= 60",
        "leaving pss MB": "<= 60",
    },
}
FAILED, OURS = "failed", "edgepost"
_MORE_IS_BETTER = ("events/s", "fill events/s", "drain events/s")
_LESS_IS_BETTER = (
    *("cpu us", "fill us", "drain us", "drained in s", "not delivered"),
    *("wire B", "held B", "medium B"),
    *("median ms", "p99 ms", "max ms", "idle cpu %"),
)


def number(value: Any) -> str:
    """Write a number as the tables have it; what is missing is a dash."""
    if value is None:
        return "-"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def is_met(value: Any, bar: str) -> bool:
    """Whether a number reaches its bar."""
    relation, _, text = bar.partition(" ")
    if not isinstance(value, int | float):
        return False
    return value >= float(text) if relation == ">=" else value <= float(text)


def bar_text(bar: str) -> str:
    """Write a bar as the tables have it."""
    relation, _, text = bar.partition(" ")
    return f"{relation} {float(text):,g}" if bar else ""


def _met(value: Any, bar: str) -> str:
    return f"{bar_text(bar)} {'met' if is_met(value, bar) else 'MISSED'}" if bar else ""


def _ratio(ours: Any, theirs: Any) -> str:
    if not isinstance(ours, int | float) or not isinstance(theirs, int | float) or not theirs:
        return ""
    return f" ({ours / theirs:.2f})"


def show(case: str, rounds: dict[str, list[Numbers]]) -> str:
    """Give one case as a Markdown table: the medians of the rounds."""
    found = {name: medians(some) for name, some in rounds.items()}
    ours, *others = found
    bars = BARS.get(case, {}) if ours == OURS else {}
    keys = list(dict.fromkeys(key for numbers in found.values() for key in numbers))
    lines = [f"| | {ours} | bar | " + " | ".join(f"{other} (ratio)" for other in others) + " |"]
    lines.append("|---|---:|---|" + "---:|" * len(others))
    for key in keys:
        value = found[ours].get(key)
        cells = [number(found[other].get(key)) + _ratio(value, found[other].get(key)) for other in others]
        lines.append(f"| {key} | {number(value)} | {_met(value, bars.get(key, ''))} | " + " | ".join(cells) + " |")
    table = "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)
    return f"{table}\n\n{_rounds(rounds)}\n"


def _rounds(rounds: dict[str, list[Numbers]]) -> str:
    most = max(map(len, rounds.values()))
    if most == 1:
        return "One round."
    parts = [
        f"{name} {key} {number(least)} to {number(highest)}"
        for name, some in rounds.items()
        for key in ("events/s", "cpu us")
        if (found := spread(some, key)) is not None
        for least, highest in (found,)
    ]
    return f"Medians of {most} rounds in turn; least and most: " + ", ".join(parts) + "."


def bars_met(cases: dict[str, dict[str, list[Numbers]]]) -> Iterator[tuple[str, str, str, Any, bool]]:
    """Give each bar as (case, number, bar, measured, whether it is met)."""
    for case, bars in BARS.items():
        if case in cases:
            ours = medians(next(iter(cases[case].values())))
            for key, bar in bars.items():
                yield case, key, bar_text(bar), ours.get(key), is_met(ours.get(key), bar)


def peers_ahead(cases: dict[str, dict[str, list[Numbers]]]) -> Iterator[tuple[str, str, Any, str, Any]]:
    """Give each number in which a peer is better, as (case, number, ours, the best of the peers, theirs)."""
    for case, rounds in cases.items():
        found = {name: medians(some) for name, some in rounds.items()}
        ours, *others = found
        for key, mine in found[ours].items():
            sign = -1 if key in _MORE_IS_BETTER else 1
            if sign == 1 and not key.startswith(_LESS_IS_BETTER) and not key.endswith("pss MB"):
                continue
            theirs = {one: found[one][key] for one in others if isinstance(found[one].get(key), int | float)}
            if case.startswith("udp"):  # CPU and memory are those at the rate held, which differs
                theirs = theirs if key == "events/s" else {}
            if theirs and isinstance(mine, int | float):
                best = min(theirs, key=lambda one: sign * theirs[one])
                if sign * theirs[best] < sign * mine:
                    yield case, key, mine, best, theirs[best]
