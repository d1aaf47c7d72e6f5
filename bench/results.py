"""Recorded runs: one JSON object a line in results.jsonl, from which RESULTS.md, the docs' tables and the plot are made.

{"at", "commit", "command", "is_quick", "is_whole", "facts": [text], "calibration": [[when, {name: us}]],
 "promises": {contestant: text}, "absent": {contestant: reason},
 "cases": {case: {contestant: [numbers of one round, ...]}}}
"""

import json
import statistics
from pathlib import Path
from typing import Any

RUNS = Path(__file__).resolve().parent / "results.jsonl"
Numbers = dict[str, Any]
Run = dict[str, Any]


def load() -> list[Run]:
    """Give every recorded run, oldest first."""
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()] if RUNS.exists() else []


def append(run: Run) -> None:
    """Record one."""
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded(run), ensure_ascii=False) + "\n")


def rounded(value: Any) -> Any:
    """Keep five digits of each float: more is noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def medians(rounds: list[Numbers]) -> Numbers:
    """Give the median of each number over the rounds; of what is no number, the last."""
    keys = dict.fromkeys(key for one in rounds for key in one)
    return {key: _median([one.get(key) for one in rounds]) for key in keys}


def _median(values: list[Any]) -> Any:
    numbers = [value for value in values if isinstance(value, int | float)]
    return statistics.median(numbers) if numbers else values[-1]


def spread(rounds: list[Numbers], key: str) -> tuple[float, float] | None:
    """Least and most of a number over the rounds; None if there was one round only."""
    values = [one[key] for one in rounds if isinstance(one.get(key), int | float)]
    return (min(values), max(values)) if len(values) > 1 else None
