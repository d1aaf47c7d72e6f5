"""Tables of results: one row a number, one column a contestant, and how many times edgepost's number is theirs.

A bar is what the project set itself before it was measured: `>= 400,000` or `<= 3`.
"""

from typing import Any

Numbers = dict[str, Any]

BARS: dict[str, dict[str, str]] = {
    "tcp-max": {"events/s": ">= 400000", "cpu us": "<= 3", "wire B": "<= 26", "pss MB": "<= 60"},
    "steady-5000": {"cpu us": "<= 8", "pss MB": "<= 60"},
    "latency-5000": {"median ms": "<= 300", "p99 ms": "<= 1000", "wire B": "<= 26"},
    "udp-max 8 MiB": {"events/s": ">= 200000", "pss MB": "<= 60"},
    "udp-max default buffer": {"events/s": ">= 75000"},
    "idle": {"idle cpu %": "<= 0.3", "idle pss MB": "<= 45"},
    "start-up": {
        "start s": "<= 0.5",
        "start with backlog s": "<= 0.5",
        "backlog pss MB": "<= 60",
        "leaving pss MB": "<= 60",
    },
}


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.2f}"


def _met(value: Any, bar: str) -> str:
    if not bar or not isinstance(value, int | float):
        return bar
    relation, _, text = bar.partition(" ")
    is_met = value >= float(text) if relation == ">=" else value <= float(text)
    return f"{relation} {float(text):,g} {'met' if is_met else 'MISSED'}"


def _ratio(ours: Any, theirs: Any) -> str:
    if not isinstance(ours, int | float) or not isinstance(theirs, int | float) or not theirs:
        return ""
    return f" ({ours / theirs:.2f})"


def show(case: str, found: dict[str, Numbers], *, bars: dict[str, str]) -> str:
    """Give one case as a Markdown table."""
    ours, *others = found
    keys = list(dict.fromkeys(key for numbers in found.values() for key in numbers))
    lines = [f"### {case}", "", f"| | {ours} | bar | " + " | ".join(f"{other} (ratio)" for other in others) + " |"]
    lines.append("|---|---:|---|" + "---:|" * len(others))
    for key in keys:
        value = found[ours].get(key)
        cells = [_number(found[other].get(key)) + _ratio(value, found[other].get(key)) for other in others]
        lines.append(f"| {key} | {_number(value)} | {_met(value, bars.get(key, ''))} | " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("|  |", "| |") + "\n"
