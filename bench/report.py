"""Make what people read from what was recorded: bench/RESULTS.md, the tables of docs/performance.md, and its plot.

    python bench/report.py            write them anew
    python bench/report.py --check    say which differs from what it would be; exit code 1 if one does

In docs/performance.md everything between `<!-- recorded: NAME -->` and `<!-- end -->` is made here, from the last run
in results.jsonl; a case that it did not measure is not there, and the rest is prose.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from plot import plot
from results import Run, load, rounded
from table import bars_met, number, peers_ahead, show

TREE = Path(__file__).resolve().parents[1]
RESULTS = TREE / "bench" / "RESULTS.md"
PAGE = TREE / "docs" / "performance.md"
PLOT = TREE / "docs" / "performance.svg"
_BLOCK = re.compile(r"(<!-- recorded: ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_NONE = "Not recorded yet.\n"


# ---- a run as text ----


def head_text(run: Run) -> str:
    """Where, when and what was measured, and who could not be."""
    kind = " A quick run: short, and noisier." if run["is_quick"] else ""
    lines = [f"## {run['at']}, commit {run['commit']}", "", f"`{run['command']}`.{kind}", ""]
    lines += [f"- {fact}" for fact in run["facts"]]
    lines += [f"- not measured: {name}: {reason}" for name, reason in run["absent"].items()]
    return "\n".join(lines) + "\n"


def calibration_text(run: Run) -> str:
    """How fast the machine was, at the head, before each case and at the end."""
    (_, first), *_ = run["calibration"]
    lines = ["| | " + " | ".join(first) + " |", "|---|" + "---:|" * len(first)]
    for when, found in run["calibration"]:
        lines.append(
            f"| {when} | " + " | ".join(f"{number(us)} ({us / first[key]:.2f})" for key, us in found.items()) + " |"
        )
    return "\n".join(lines) + "\n"


def case_text(run: Run, case: str) -> str:
    """One case with its heading."""
    return f"### {case}\n\n{show(case, rounded(run['cases'][case]))}"


def section(run: Run) -> str:
    """A run whole, as it stands in RESULTS.md."""
    parts = [
        head_text(run),
        "### calibration\n\n" + calibration_text(run),
        *(case_text(run, case) for case in run["cases"]),
    ]
    return "\n".join(parts)


# ---- the parts of the page ----


def _head(run: Run) -> str:
    return head_text(run).replace("## ", "**", 1).replace("\n", "**\n", 1)


def _promises(run: Run) -> str:
    lines = ["| contestant | where a line is until it is let go, and when that is |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {text} |" for name, text in run["promises"].items())]) + "\n"


def _bars(run: Run) -> str:
    lines = ["| case | number | bar | measured | |", "|---|---|---:|---:|---|"]
    for case, key, bar, value, is_met in bars_met(run["cases"]):
        lines.append(f"| {case} | {key} | {bar} | {number(value)} | {'met' if is_met else 'MISSED'} |")
    return "\n".join(lines) + "\n"


def _ahead(run: Run) -> str:
    lines = ["| case | number | edgepost | best peer | |", "|---|---|---:|---:|---|"]
    for case, key, ours, peer, theirs in peers_ahead(run["cases"]):
        lines.append(f"| {case} | {key} | {number(ours)} | {number(theirs)} | {peer} |")
    return "\n".join(lines) + "\n"


_PARTS: dict[str, Callable[[Run], str]] = {
    "run": _head,
    "calibration": calibration_text,
    "promises": _promises,
    "bars": _bars,
    "ahead": _ahead,
}


def _part(run: Run | None, name: str) -> str:
    if run is None:
        return _NONE
    if name in _PARTS:
        return _PARTS[name](run)
    return show(name, run["cases"][name]) if name in run["cases"] else _NONE


# ---- files ----


def files() -> dict[Path, str]:
    """Give what each file should hold."""
    runs = load()
    last = runs[-1] if runs else None
    page = PAGE.read_text(encoding="utf-8")
    wanted = {
        RESULTS: "# Recorded runs\n\nMade by bench/report.py from results.jsonl; docs/performance.md says what each number means.\n\n"
        + "\n".join(map(section, reversed(runs))),
        PAGE: _BLOCK.sub(lambda block: f"{block[1]}{_part(last, block[2])}{block[3]}", page),
    }
    return wanted | ({PLOT: plot(last)} if last else {})


def write() -> None:
    """Write them all."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Write, or check; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        write()
        return 0
    differ = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in differ:
        print(f"{path.relative_to(TREE)} is not what results.jsonl says: python bench/report.py", file=sys.stderr)
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
