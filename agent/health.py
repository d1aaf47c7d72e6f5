"""From facts to a verdict: which problems an agent has, what to do about each, and how bad it is altogether.

In come the facts of `agent/status.py`, plain values; out comes a list of problems, the worst first, each a sentence
and a remedy. The rules, in words: `docs/status.md`, section "Health".

    healthy    no problem
    degraded   at least one problem, but rows are taken and kept or forwarded
    down       nothing is taken, or what is taken can neither be kept on disk nor forwarded
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent.parking import PARKED, ROT
from wire.text import human_count, human_seconds

if TYPE_CHECKING:  # the client needs only the exit codes, and no collector's reasons
    from agent.losses import Loss

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
DOWN: Final = "down"
EXIT_CODES: Final = {HEALTHY: 0, DEGRADED: 1, DOWN: 2}

Problem = dict[str, str]
"""`severity` (degraded or down), `where` (a part or a collector), `what` (a sentence), `remedy` (a command or hint)."""

_RUNNING: Final = frozenset({"running", "ok"})
_CONNECTED: Final = frozenset({"connected", "ok"})
_FULL_SOON_HOURS: Final = 24.0
_FULL_PART: Final = 0.8  # of the buffer: below it, hours left say little
_LAG_MS: Final = 1000.0
_SILENT_SECONDS: Final = 10.0
_RECENT_NS: Final = 600 * 10**9


def verdict(problems: Sequence[Problem]) -> str:
    """Give the health that a list of problems adds up to."""
    severities = {problem["severity"] for problem in problems}
    return DOWN if DOWN in severities else DEGRADED if problems else HEALTHY


def find_problems(facts: Mapping[str, Any], recent_losses: "Sequence[Loss]") -> list[Problem]:
    """List every problem the facts show, what is down first.

    Args:
        facts: as collected, still without `health` and `problems`.
        recent_losses: of the last ten minutes.
    """
    problems = [
        *_whole(facts),
        *_collectors(facts.get("collectors", ())),
        *_buffer(facts.get("buffer", {}), is_delivering=_is_delivering(facts.get("forward", {}))),
        *_forward(facts.get("forward", {})),
        *_parked(facts.get("buffer", {})),
        *_losses(recent_losses),
        *_process(facts.get("process", {})),
        *_socket(facts.get("socket", {}), now_ns=facts.get("now_ns", 0)),
    ]
    return sorted(problems, key=lambda problem: problem["severity"] != DOWN)


def _problem(where: str, what: str, *, remedy: str = "", severity: str = DEGRADED) -> Problem:
    return {"severity": severity, "where": where, "what": what, "remedy": remedy}


def _sentence(text: object) -> str:
    """Begin with a capital, unless it begins with an address, and end with a full stop."""
    words = str(text).strip().rstrip(".")
    first = words[:1] if "://" in words.partition(" ")[0] else words[:1].upper()
    return f"{first}{words[1:]}."


def _whole(facts: Mapping[str, Any]) -> Iterator[Problem]:
    collectors = facts.get("collectors", ())
    if not any(_is_taking(one) for one in collectors):
        yield _problem(
            "collectors",
            "No collector runs with an open listener: nothing is taken.",
            severity=DOWN,
            remedy="journalctl -u edgepost -n 50",
        )
    for unused in facts.get("unused_sockets", ()):
        yield _problem(
            "agent",
            f"A socket that systemd handed over is used by no listener: {unused}.",
            remedy="bind a listener to its address or to fd://NAME, or take it out of the socket unit",
        )
    if not _keeps(facts) and not _is_delivering(facts.get("forward", {})):
        yield _problem(
            "agent",
            "The disk fails and nothing is forwarded: rows live in bounded memory only and will be lost.",
            severity=DOWN,
            remedy="mend the disk first; its problem and remedy stand below",
        )


def _is_taking(collector: Mapping[str, Any]) -> bool:
    """Tell whether a collector runs and, if it listens, listens somewhere."""
    listeners = _maps((collector.get("report") or {}).get("listeners"))
    is_deaf = bool(listeners) and all(listener.get("state") == "failed" for listener in listeners)
    return collector.get("state") in _RUNNING and not is_deaf


def _keeps(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("buffer", {}).get("state") == "ok")


def _is_delivering(forward: Mapping[str, Any]) -> bool:
    return forward.get("state") in _CONNECTED


def _collectors(collectors: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for one in collectors:
        name, state = str(one.get("name", "?")), str(one.get("state", "?"))
        if state not in _RUNNING:
            reason = one.get("error") or "no reason given"
            remedy = one.get("remedy") or "journalctl -u edgepost -n 50"
            yield _problem(name, _sentence(f"collector {name} does not run ({state}): {reason}"), remedy=str(remedy))
        report = one.get("report") or {}
        for listener in _maps(report.get("listeners")):
            if listener.get("problem"):
                yield _problem(name, _sentence(listener["problem"]), remedy=str(listener.get("remedy") or ""))
        for warning in report.get("warnings") or ():
            what, remedy = (warning.get("what"), warning.get("remedy")) if isinstance(warning, dict) else (warning, "")
            yield _problem(name, _sentence(what), remedy=str(remedy or ""))


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def _buffer(buffer: Mapping[str, Any], *, is_delivering: bool) -> Iterator[Problem]:
    state = buffer.get("state", "ok")
    if state != "ok":
        what = buffer.get("problem") or f"the store is {state}"
        yield _problem("buffer", _sentence(what), remedy=str(buffer.get("remedy") or "dmesg | tail -n 30"))
    silent = buffer.get("silent_seconds") or 0.0
    if silent > _SILENT_SECONDS:
        yield _problem("buffer", f"The disk has not answered for {human_seconds(silent)}.", remedy="dmesg | tail -n 30")
    yield from _room(buffer, is_delivering=is_delivering)


def _room(buffer: Mapping[str, Any], *, is_delivering: bool) -> Iterator[Problem]:
    used, limit = buffer.get("used_bytes") or 0, buffer.get("limit_bytes") or 0
    hours = [lane["hours_left"] for lane in buffer.get("lanes", ()) if lane.get("hours_left") is not None]
    if limit and used > _FULL_PART * limit:
        yield _problem(
            "buffer",
            f"The buffer is {100 * used // limit} % full; then the oldest bulk and normal rows are evicted.",
            remedy="mend the way to the center (edgepost ping), or raise `buffer.limit_bytes`",
        )
    elif not is_delivering and hours and min(hours) < _FULL_SOON_HOURS:
        yield _problem(
            "buffer",
            f"At the present rate the buffer is full in {human_seconds(min(hours) * 3600)}.",
            remedy="mend the way to the center (edgepost ping), or raise `buffer.limit_bytes`",
        )


def _forward(forward: Mapping[str, Any]) -> Iterator[Problem]:
    if not _is_delivering(forward):
        why = forward.get("problem") or f"the broker {forward.get('broker') or ''} is {forward.get('state', '?')}"
        what = f"nothing is delivered, rows wait here: {why}"
        yield _problem("forward", _sentence(what), remedy=str(forward.get("remedy") or "edgepost ping"))
    for one in forward.get("held_back") or ():
        what = f"batches of {one['agent']} at {one['site']} are kept here and not sent: {one['reason']}"
        yield _problem("forward", _sentence(what), remedy=str(one["remedy"]))


def _parked(buffer: Mapping[str, Any]) -> Iterator[Problem]:
    """Rotten batches are declared as dropped, and no remedy brings them back."""
    for reason, batches in (buffer.get("parked") or {}).items():
        if reason == ROT:
            continue
        why, remedy = PARKED.get(reason, (reason, "read why: journalctl -u edgepost, and the receiver's journal"))
        yield _problem(
            "forward",
            f"{_batches(batches)} parked, {why}: kept, and tried again at the start and each hour.",
            remedy=remedy,
        )


def _batches(number: int) -> str:
    return "1 batch is" if number == 1 else f"{number:,} batches are"


def _losses(recent: "Sequence[Loss]") -> Iterator[Problem]:
    for where, reason, amount in recent:
        what = f"Data was lost in the last 10 minutes: {human_count(amount, reason.unit)}, {reason.name}."
        yield _problem(where, what, remedy=reason.remedy)


def _process(process: Mapping[str, Any]) -> Iterator[Problem]:
    lag = (process.get("loop_lag_ms") or {}).get("max") or 0.0
    if lag > _LAG_MS:
        yield _problem(
            "agent",
            f"The event loop stood still for {human_seconds(lag / 1000)} in the last minute.",
            remedy="look for a machine short of CPU or memory: top; vmstat 2",
        )


def _socket(life: Mapping[str, Any], *, now_ns: int) -> Iterator[Problem]:
    """Bugs of the status socket: rows are taken all the same, but somebody must hear of it."""
    clients = life.get("clients") or {}
    what = {
        f"a bug was met while a client was answered, {clients.get('failures')} times: {clients.get('error')}": clients,
        f"the status socket was made anew, {life.get('restarts')} times: {life.get('error')}": life,
    }
    for text, one in what.items():
        failed_ns = one.get("failed_ns")
        if failed_ns is not None and now_ns - failed_ns < _RECENT_NS:
            yield _problem("socket", _sentence(text), remedy="report it, with: journalctl -u edgepost")
