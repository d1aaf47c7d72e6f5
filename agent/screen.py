"""The facts of an agent as text: 80 columns, the verdict first, what to do second, the numbers after.

A dict goes in (`docs/status.md`, section "JSON"), lines come out. No line is wider than `WIDTH`, whatever the names;
nothing that a device said reaches the terminal as a control character; nothing is told by colour alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agent.cells import WIDTH, clean, fit, pad, paint, table, wrap
from agent.screen_listener import listener_lines
from wire.text import human_bytes, human_seconds

_SIGNS: Final = {"healthy": ("✓", "good"), "degraded": ("!", "warn"), "down": ("✗", "bad")}
_COLLECTOR_WIDTHS: Final = (20, 10, -9, -9, -13, -9)
_LANE_WIDTHS: Final = (8, -11, -10, -12, -13, -13)
_RULE_WIDTHS: Final = (25, 6, 10, -8, -8, -13)
_LEDGER_WIDTHS: Final = (16, -14, -14, -14, -14)
_LABEL: Final = 10


def draw(facts: Mapping[str, Any], *, is_coloured: bool = False) -> str:
    """Draw the whole screen."""
    blocks = [
        _head(facts),
        _problems(facts),
        _collectors(facts),
        _rules(facts),
        _buffer(facts),
        _forward(facts),
        _ledger(facts),
    ]
    lines = [line for block in [*blocks, _process(facts)] for line in block]
    return "\n".join(_painted(line, is_coloured=is_coloured) for line in lines) + "\n"


def draw_absent(reason: str, remedy: str, *, is_coloured: bool = False) -> str:
    """Draw what is shown when no agent answers."""
    problem = {"severity": "down", "what": f"DOWN  {reason}", "remedy": remedy}
    return "".join(f"{_painted(line, is_coloured=is_coloured)}\n" for line in _problem(problem))


Line = tuple[str, str]
"""A colour of `cells.COLOURS` or nothing, and a text that fits."""


def _painted(line: Line, *, is_coloured: bool) -> str:
    return paint(line[1], line[0], is_coloured=is_coloured)


def _title(text: str) -> Iterator[Line]:
    yield ("", "")
    yield ("title", fit(text, WIDTH))


def _head(facts: Mapping[str, Any]) -> Iterator[Line]:
    health = str(facts.get("health", "?"))
    sign, colour = _SIGNS.get(health, ("?", "bad"))
    uptime = human_seconds(_seconds(facts, facts.get("started_ns")) or 0)
    who = f"{facts.get('agent', '?')} at {facts.get('site', '?')}"
    about = f"edgepost {facts.get('edgepost', '?')}, up {uptime}, pid {facts.get('pid', '?')}"
    left = fit(f"{sign} {health.upper()}  {who}", WIDTH - 40)
    yield (colour, pad(left, WIDTH - 40) + pad(fit(about, 40), 40, right=True))


def _problems(facts: Mapping[str, Any]) -> Iterator[Line]:
    for problem in facts.get("problems", ()):
        yield from _problem(problem)


def _problem(problem: Mapping[str, Any]) -> Iterator[Line]:
    """A sentence behind its sign, and each line of its remedy behind an arrow."""
    sign, colour = _SIGNS.get(problem.get("severity", ""), ("!", "warn"))
    for at, line in enumerate(wrap(problem.get("what", ""), WIDTH, indent="  ")):
        yield (colour, line if at else f"{sign}{line[1:]}")
    for remedy in str(problem.get("remedy") or "").splitlines():
        for at, line in enumerate(wrap(remedy, WIDTH, indent="    ")):
            yield ("", line if at else f"  →{line[3:]}")


def _collectors(facts: Mapping[str, Any]) -> Iterator[Line]:
    yield from _title("Collectors")
    header = ("name", "state", "rows/s", "rows", "last seen", "sources")
    yield ("quiet", table([header], _COLLECTOR_WIDTHS)[0])
    for one in facts.get("collectors", ()):
        streams: Mapping[str, Any] = one.get("streams") or {}
        seen = max((stream.get("last_seen_ns") or 0 for stream in streams.values()), default=0)
        row = (
            clean(one.get("name", "?")),
            clean(one.get("state", "?")),
            _count(sum(stream.get("rows_per_second") or 0 for stream in streams.values())),
            _count(sum(stream.get("rows") or 0 for stream in streams.values())),
            _ago(facts, seen),
            _count(one.get("sources") or 0),
        )
        yield ("", table([row], _COLLECTOR_WIDTHS)[0])
        yield from _below(one)
    changed = [
        f"{_count(rows)} of {clean(stream)} {clean(how)}"
        for stream, counts in (facts.get("changed") or {}).items()
        for how, rows in counts.items()
        if rows
    ]
    yield from _list("rows changed to fit since start:", changed)


def _list(label: str, some: Sequence[str]) -> Iterator[Line]:
    if some:
        yield from (("warn", line) for line in wrap(f"{label} {', '.join(some)}", WIDTH, indent="  "))


def _below(one: Mapping[str, Any]) -> Iterator[Line]:
    """What stands below a collector's line: its listeners, restarts and what it counted."""
    report = one.get("report") or {}
    for listener in report.get("listeners") or ():
        if isinstance(listener, Mapping):
            yield from listener_lines(listener)
    if one.get("restarts"):
        yield ("warn", fit(f"  restarted {_count(one['restarts'])} times", WIDTH))
    for line in _reasons("  counted since start:", one.get("drops") or {}, meanings=one.get("reasons") or {}):
        yield ("warn", line)


def _reasons(label: str, drops: Mapping[str, Any], *, meanings: Mapping[str, Any]) -> list[str]:
    """What was counted, each with its unit; without a meaning it is rows."""
    units = {reason: str((meanings.get(reason) or {}).get("unit", "rows")) for reason in drops}
    some = [
        f"{reason} {_count(number)} {units[reason].removesuffix('s') if number == 1 else units[reason]}"
        for reason, number in sorted(drops.items())
        if number
    ]
    return wrap(f"{label.strip()} {', '.join(some)}", WIDTH, indent="  ") if some else []


def _rules(facts: Mapping[str, Any]) -> Iterator[Line]:
    rules = facts.get("rules") or ()
    if rules:
        yield from _title("Rules, in rows since start")
        yield ("quiet", table([("name", "do", "stream", "hits", "dropped", "last hit")], _RULE_WIDTHS)[0])
    for one in rules:
        counts = _count(one.get("hits") or 0), _count(one.get("dropped") or 0), _ago(facts, one.get("last_hit_ns"))
        yield ("", table([(*(clean(one.get(key, "?")) for key in ("name", "do", "stream")), *counts)], _RULE_WIDTHS)[0])


def _buffer(facts: Mapping[str, Any]) -> Iterator[Line]:
    buffer = facts.get("buffer") or {}
    used, limit = human_bytes(buffer.get("used_bytes") or 0), human_bytes(buffer.get("limit_bytes") or 0)
    free, commit = human_bytes(buffer.get("disk_free_bytes") or 0), buffer.get("commit_ms") or {}
    yield from _title(f"Buffer: {buffer.get('state', '?')}, {used} of {limit} used, disk has {free} free")
    yield ("quiet", table([("lane", "batches", "bytes", "oldest", "growth", "lasts")], _LANE_WIDTHS)[0])
    for lane in buffer.get("lanes", ()):
        hours = lane.get("hours_left")
        row = (
            clean(lane.get("lane", "?")),
            _count(lane.get("batches") or 0),
            human_bytes(lane.get("bytes") or 0),
            _age(facts, lane.get("oldest_ns")) if lane.get("batches") else "-",
            f"{human_bytes(lane.get('rate_bytes_per_second') or 0)}/s",
            "-" if hours is None else human_seconds(hours * 3600),
        )
        yield ("", table([row], _LANE_WIDTHS)[0])
    parked = (buffer.get("parked") or {}).items()
    yield from _list("parked batches:", [f"{_count(number)} {clean(reason)}" for reason, number in sorted(parked)])
    held = buffer.get("memory_batches") or 0
    if held:
        yield ("warn", fit(f"In memory only: {_count(held)} batches, {human_bytes(buffer['memory_bytes'])}", WIDTH))
    if commit.get("median") is not None:
        yield ("", f"Commits take {commit['median']:.0f} ms (median), {commit.get('max') or 0:.0f} ms at most.")


def _forward(facts: Mapping[str, Any]) -> Iterator[Line]:
    forward = facts.get("forward") or {}
    yield from _title(f"Forwarding: {forward.get('state', '?')}")
    since = _age(facts, forward.get("since_ns"))
    for broker in forward.get("brokers") or ():
        current = forward.get("broker") is not None and broker.get("url") == forward["broker"]
        state = f"connected for {since}, {_protocol(forward)}" if current else broker.get("state")
        yield _labelled(
            "broker",
            f"{broker.get('url') or '-'}  {state or '-'}{': ' if broker.get('error') else ''}{broker.get('error') or ''}",
        )
    flying = human_bytes(forward.get("in_flight_bytes") or 0)
    oldest = forward.get("oldest_unreceipted_seconds")
    waiting = f"{_count(forward.get('unreceipted_batches') or 0)} unreceipted"
    yield _labelled(
        "custody",
        f"{_count(forward.get('in_flight_batches') or 0)} batches in flight ({flying}), {waiting}"
        + ("" if oldest is None else f", the oldest for {human_seconds(oldest)}"),
    )
    smoothed = forward.get("smoothed_receipt_ms")
    time_taken = "-" if smoothed is None else human_seconds(smoothed / 1000)
    yield _labelled(
        "receipts",
        f"from {' and '.join(forward.get('confirm') or ()) or '-'}, after {time_taken}, "
        f"the last {_ago(facts, forward.get('last_receipt_ns'))}",
    )
    sent, size = _count(forward.get("sent_rows") or 0), human_bytes(forward.get("sent_bytes") or 0)
    yield _labelled("sent", f"{sent} rows in {size}, {_count(forward.get('resent') or 0)} batches again")
    ignored = forward.get("ignored_receipts") or {}
    meanings = {reason: {"unit": "receipts"} for reason in ignored}
    yield from (("warn", line) for line in _reasons("receipts ignored:", ignored, meanings=meanings))


def _protocol(forward: Mapping[str, Any]) -> str:
    return f"MQTT {forward['protocol']}" if forward.get("protocol") else "MQTT"


def account_of(facts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Sum the account per stream: received = confirmed + held + dropped, each in rows."""
    streams: dict[str, dict[str, int]] = {}
    for entry in (facts.get("buffer") or {}).get("account", ()):
        sums = streams.setdefault(str(entry["stream"]), {"received": 0, "confirmed": 0, "held": 0, "dropped": 0})
        what = str(entry["what"]).split(":")[0]
        sums[what if what in {"received", "confirmed"} else "dropped"] += int(entry["rows"])
    for sums in streams.values():
        sums["held"] = sums["received"] - sums["confirmed"] - sums["dropped"]
    return streams


def _ledger(facts: Mapping[str, Any]) -> Iterator[Line]:
    account = account_of(facts)
    if not account:
        return
    yield from _title("Ledger, in rows")
    header: Sequence[str] = ("stream", "received", "= confirmed", "+ held", "+ dropped")
    yield ("quiet", table([header], _LEDGER_WIDTHS)[0])
    for stream, sums in sorted(account.items()):
        row = (clean(stream), *(_exact(sums[key]) for key in ("received", "confirmed", "held", "dropped")))
        yield ("", table([row], _LEDGER_WIDTHS)[0])
    reasons: dict[str, int] = {}
    for entry in facts["buffer"]["account"]:
        if str(entry["what"]).startswith("dropped"):
            reason = str(entry["what"]).removeprefix("dropped:")
            reasons[reason] = reasons.get(reason, 0) + int(entry["rows"])
    yield from (("warn", line) for line in _reasons("dropped:", reasons, meanings={}))


def _process(facts: Mapping[str, Any]) -> Iterator[Line]:
    process = facts.get("process") or {}
    lag, pss = process.get("loop_lag_ms") or {}, process.get("pss_bytes")
    yield from _title("Process")
    memory = "-" if pss is None else human_bytes(pss)
    yield (
        "",
        fit(
            f"loop lag {lag.get('median') or 0:.1f} ms (median), {lag.get('max') or 0:.0f} ms at most; memory {memory}; "
            f"CPU {process.get('cpu_percent') or 0:.1f} %",
            WIDTH,
        ),
    )


def _labelled(label: str, text: str) -> Line:
    return ("", pad(label, _LABEL) + fit(" ".join(text.split()), WIDTH - _LABEL))


def _count(number: float) -> str:
    """A number in at most seven characters: 12,345; 1.2 M; 3.4e+21."""
    if abs(number) < 100_000:
        return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:.1f}"
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        if abs(number) < size * 1000:
            return f"{number / size:.1f} {unit}"
    return f"{number:.1e}"


def _exact(number: int) -> str:
    """A number to the last row, as long as a column of the ledger holds it."""
    exact = f"{number:,}"
    return exact if len(exact) <= -_LEDGER_WIDTHS[1] else _count(number)


def _seconds(facts: Mapping[str, Any], since_ns: int | None) -> float | None:
    return max(0.0, (facts.get("now_ns", 0) - since_ns) / 1e9) if since_ns else None


def _age(facts: Mapping[str, Any], since_ns: int | None) -> str:
    seconds = _seconds(facts, since_ns)
    return "-" if seconds is None else human_seconds(seconds)


def _ago(facts: Mapping[str, Any], since_ns: int | None) -> str:
    age = _age(facts, since_ns)
    return "never" if age == "-" else f"{age} ago"
