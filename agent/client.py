"""The verbs that ask a running agent, as a person sees them: `edgepost status`, `tail` and `ping`.

    arguments ──► request ──agent/ask.py──► lines of JSON ──► text on a terminal, or the JSON itself

Each verb gives its exit code. Nothing heavy is imported: no event loop, no msgspec; `status` must show within the
blink of an eye.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from agent.ask import NoAgent, Refused, ask, ask_once
from agent.cells import WIDTH, clean, fit, pad, paint, wants_colour
from agent.health import EXIT_CODES
from agent.screen import draw, draw_absent
from wire.text import human_seconds

DOWN: Final = 2
USAGE: Final = 64  # sysexits.h, EX_USAGE
_WATCH_SECONDS: Final = 2.0
_CLEAR: Final = "\x1b[H\x1b[J"
_SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")  # RFC 5424 section 6.2.1
_SPOKEN: Final = ("message", "text")  # what a person reads: it stands last and without its name
_PLACED: Final = frozenset({"stream", "time", "received", "severity", *_SPOKEN})
_MEANINGS: Final = {
    "taken": "The row was taken but not committed: the disk does not answer. See the buffer in: edgepost status",
    "committed": "The row is safe here but was not sent: no broker is connected, or a backlog stands before it. "
    "See the broker in: edgepost status",
    "sent": "The broker did not acknowledge: the link is slow or dead, or the broker refuses the topic. "
    "See its log and ACL.",
    "acked": "The broker has the row, but no receiver confirmed it: is edgepost-center running, subscribed, and in the "
    "group that `forward.confirm` names?",
    "receipt": "One group has confirmed, another has not: see which under `forward.confirm`.",
}


def show_status(path: str, *, as_json: bool, is_watching: bool) -> int:
    """Show the status once, or every two seconds until interrupted; the exit code is the health shown last."""
    code = DOWN
    try:
        while True:
            if is_watching and sys.stdout.isatty():
                sys.stdout.write(_CLEAR)
            code = _status_once(path, as_json=as_json)
            sys.stdout.flush()
            if not is_watching:
                return code
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return code


def _status_once(path: str, *, as_json: bool) -> int:
    is_coloured = wants_colour(sys.stdout)
    try:
        facts = ask_once(path, {"verb": "status"})
    except NoAgent as absent:
        if as_json:
            print(json.dumps({"version": 1, "health": "down", "error": str(absent), "remedy": absent.remedy}))
        else:
            print(draw_absent(str(absent), absent.remedy, is_coloured=is_coloured), end="")
        return DOWN
    print(json.dumps(facts) if as_json else draw(facts, is_coloured=is_coloured), end="\n" if as_json else "")
    return EXIT_CODES.get(str(facts.get("health")), DOWN)


def show_tail(path: str, *, stream: str | None, where: Iterable[tuple[str, str]], as_json: bool) -> int:
    """Show live rows until interrupted; 0 when interrupted, 2 when the agent goes, 64 when there is no such thing."""
    request = {"verb": "tail", "stream": stream, "where": [list(pair) for pair in where]}
    is_coloured = wants_colour(sys.stdout)
    try:
        with ask(path, request, patience=None) as lines:
            for line in lines:
                _show_row(line, as_json=as_json, is_coloured=is_coloured)
    except KeyboardInterrupt:
        return 0
    except NoAgent as absent:
        return _say_absent(absent)
    except Refused as refused:
        return _say_refused("tail", refused)
    return _say_absent(NoAgent("the agent closed the connection", "systemctl status edgepost"))


def _show_row(line: bytes, *, as_json: bool, is_coloured: bool) -> None:
    row = json.loads(line)
    if "stream" in row:
        print(json.dumps(row) if as_json else row_text(row, is_coloured=is_coloured), flush=True)
    elif "lost" in row:
        print(f"edgepost tail: {row['lost']:,} rows lost here, this reader is too slow", file=sys.stderr, flush=True)
    elif "error" in row:
        raise Refused(row)


def row_text(row: Mapping[str, Any], *, is_coloured: bool = False) -> str:
    """Write a row as one line: time of receipt (UTC), stream, severity, columns that are not null, then the message.

    The width is the reader's affair: a terminal wraps, a pipe keeps everything.
    """
    severity = row.get("severity")
    is_known = isinstance(severity, int) and 0 <= severity <= 7
    word = _SEVERITIES[severity] if is_known and isinstance(severity, int) else ""
    colour = "bad" if word in _SEVERITIES[:4] else "warn" if word == "warning" else "quiet"
    columns = [
        f"{clean(key)}={_value(value)}" for key, value in row.items() if value is not None and key not in _PLACED
    ]
    spoken = next((clean(row[key]) for key in _SPOKEN if row.get(key)), "")
    words = [
        clean(str(row.get("received") or "")[11:23]),
        pad(clean(row.get("stream", "")), 6),
        paint(pad(word, 7), colour, is_coloured=is_coloured and bool(word)),
        *columns,
        spoken,
    ]
    return " ".join(filter(None, words))


def _value(value: Any) -> str:
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def show_ping(path: str, *, timeout_seconds: float) -> int:
    """Show each step of one row's way; 0 when receipted, 1 when not in time, 2 when no agent answers."""
    steps: list[Mapping[str, Any]] = []
    try:
        with ask(path, {"verb": "ping", "timeout_seconds": timeout_seconds}, patience=timeout_seconds + 5) as lines:
            for line in lines:
                step = json.loads(line)
                if "error" in step:
                    raise Refused(step)
                if step.get("step") == "timeout":
                    return _stuck(steps, timeout_seconds)
                if step.get("step") == "done":
                    return 0
                steps.append(step)
                print(_step_text(steps), flush=True)
    except KeyboardInterrupt:
        return _stuck(steps, 0) if steps else 1
    except NoAgent as absent:
        return _say_absent(absent)
    except Refused as refused:
        return _say_refused("ping", refused)
    return _say_absent(NoAgent("the agent closed the connection", "systemctl status edgepost"))


_STEPS: Final[Mapping[str, Callable[[str], str]]] = {
    "taken": lambda _: "taken by the agent",
    "committed": lambda name: f"committed as {name}",
    "sent": lambda broker: f"sent to {broker}",
    "acked": lambda broker: f"PUBACK from {broker}",
    "receipt": lambda group: f"receipt from {group.replace(' ', ': ', 1)}",
}


def _step_text(steps: list[Mapping[str, Any]]) -> str:
    """Write the newest step with its time since the first."""
    step, detail = str(steps[-1].get("step")), str(steps[-1].get("detail", ""))
    words = _STEPS[step](detail) if step in _STEPS else f"{step} {detail}"
    elapsed = (int(steps[-1].get("at_ns", 0)) - int(steps[0].get("at_ns", 0))) / 1e6
    return f"{elapsed:9.1f} ms  {fit(words, WIDTH - 14)}"


def _stuck(steps: list[Mapping[str, Any]], timeout_seconds: float) -> int:
    last = str(steps[-1].get("step")) if steps else "nothing"
    waited = f"within {human_seconds(timeout_seconds)}" if timeout_seconds else "yet"
    print(f"edgepost ping: no receipt {waited}; the row stands at: {last}", file=sys.stderr)
    print(f"  {_MEANINGS.get(last, 'The agent did not take the row: see edgepost status')}", file=sys.stderr)
    return 1


def _say_absent(absent: NoAgent) -> int:
    print(draw_absent(str(absent), absent.remedy, is_coloured=wants_colour(sys.stderr)), end="", file=sys.stderr)
    return DOWN


def _say_refused(verb: str, refused: Refused) -> int:
    print(f"edgepost {verb}: {clean(refused)}", file=sys.stderr)
    for line in refused.remedy.splitlines():
        print(f"  → {clean(line)}", file=sys.stderr)
    return USAGE if refused.is_usage else DOWN
