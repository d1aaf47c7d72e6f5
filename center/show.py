"""The ledger for people: at most 80 columns, what stands well in one line, what needs somebody named one by one.

Names are names (`wire/names.py`); whatever else an agent said passes `printable`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from wire.text import human_bytes, printable, rfc3339

Entry = Mapping[str, Any]
_AGENT: Final = 18  # columns; a name may have 63 characters, and what is cut ends in …
_MOST_STOPS: Final = 10
_MOST_HOLES: Final = 10


def show_ledger(ledger: Entry) -> str:
    """Write a ledger as text."""
    sections = [
        _verdict(ledger),
        _agents(ledger["agents"]),
        _spans(ledger["spans"]),
        _missing(ledger["spans"]),
        _rows(ledger["rows"]),
        _stops(ledger["stops"]),
        _refused(ledger["refused"]),
    ]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _verdict(ledger: Entry) -> Iterator[str]:
    yield "CLOSED: nothing is missing" if ledger["closed"] else "MISSING: rows were lost that nobody declared"
    if ledger.get("problem"):
        yield fit(f"PROBLEM: nothing is taken, agents keep their batches: {printable(str(ledger['problem']))}", 80)


def fit(text: str, width: int) -> str:
    """Cut a text to a width; what is cut ends in …."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _agent(one: Entry) -> str:
    return f"{fit(one['agent'], _AGENT):<{_AGENT}}"


def _number(number: int, width: int) -> str:
    """Write a number in a column; one that is too long roughly."""
    text = str(number)
    return f"{text if len(text) <= width else f'{number:.1e}':>{width}}"


def _agents(agents: Sequence[Entry]) -> Iterator[str]:
    yield f"{'AGENT':<{_AGENT}} {'STATE':<8} {'HEALTH':<9} SITE"
    for one in agents:
        health = fit(printable(one["health"]), 9)
        yield f"{_agent(one)} {one['state']:<8} {health:<9} {fit(one['site'], 42)}"


def _spans(spans: Sequence[Entry]) -> Iterator[str]:
    """Every span that is current or has a gap; of an agent's earlier epochs those that are whole as one sum."""
    columns = ("arrived", "waiting", "declared", "refused", "missing")
    yield f"{'AGENT':<{_AGENT}} {'EPOCH':<8} {'LANE':<6} {'ARRIVED':>9} {'WAITING':>8}" + "".join(
        f" {name.upper():>8}" for name in columns[2:]
    )
    known = {one["agent"] for one in spans if one["current"]}
    whole = []
    for one in spans:
        if one["agent"] in known and not one["current"] and one["arrived"] == one["last"]:
            whole.append(one)
            continue
        first, *others = (len_of(one["missing"]) if name == "missing" else one[name] for name in columns)
        text = "".join(f" {_number(number, 8)}" for number in others)
        yield f"{_agent(one)} {one['epoch'][:8]} {one['lane']:<6} {_number(first, 9)}{text}"
    if whole:
        epochs, batches = len({one["epoch"] for one in whole}), sum(one["arrived"] for one in whole)
        yield f"{epochs} earlier epochs are whole: {batches} batches arrived"


def len_of(holes: Sequence[Sequence[int]]) -> int:
    """How many batches are in ranges of seq."""
    return sum(last - first + 1 for first, last in holes)


def _missing(spans: Sequence[Entry]) -> Iterator[str]:
    for one in spans:
        if one["missing"]:
            holes = ", ".join(f"{first}-{last}" for first, last in one["missing"][:_MOST_HOLES])
            more = ", …" if len(one["missing"]) > _MOST_HOLES else ""
            yield fit(f"missing of {fit(one['agent'], 24)} {one['epoch'][:8]} {one['lane']}: {holes}{more}", 80)


def _rows(rows: Sequence[Entry]) -> Iterator[str]:
    yield f"{'AGENT':<{_AGENT}} {'STREAM':<14} {'COMMITTED ROWS':>15} {'CONFIRMED THERE':>16}"
    for one in rows:
        confirmed = "-" if one["confirmed"] is None else _number(one["confirmed"], 16)
        yield f"{_agent(one)} {fit(one['stream'], 14):<14} {_number(one['committed'], 15)} {confirmed:>16}"


def _stops(stops: Sequence[Entry]) -> Iterator[str]:
    """Unclean stops, the newest last."""
    if stops:
        yield f"UNCLEAN STOPS: {len(stops)}. Between these times it is unknown what the agent took:"
    for one in sorted(stops, key=lambda one: one["first_ns"])[-_MOST_STOPS:]:
        first, last = (f"{rfc3339(one[key])[:19]}Z" for key in ("first_ns", "last_ns"))
        yield f"{_agent(one)} {first} to {last}"


def _refused(refused: Sequence[Entry]) -> Iterator[str]:
    if refused:
        yield f"{'REFUSED, AND KEPT IN refused/':<34} {'PAYLOADS':>9} {'BYTES':>9} {'DISCARDED SINCE':>16}"
    for one in refused:
        size = human_bytes(one["kept_bytes"] - one["discarded_bytes"])
        there = one["kept"] - one["discarded"]
        yield f"{fit(printable(one['reason']), 34):<34} {there:>9} {size:>9} {one['discarded']:>16}"
