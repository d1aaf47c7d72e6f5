"""Live rows for `edgepost tail`: the agent's half.

    intake ──where──► tap (bounded) ──NDJSON──► status socket (bounded) ──► client

The agent pays nothing while nobody reads, and never waits for a reader: who is too slow loses rows and is told how
many. Lines of the answer are rows, keyed as at the center with `stream` before them, or `{"lost": n}`; the first is
`{"tail": "open"}`. `where` is looked at before the tap's queue: what was not asked for cannot crowd out what was. It
costs 0.04 µs a row and column for text and whole numbers, while somebody asks.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from operator import eq, is_
from typing import Any, Final

import msgspec

from agent.answer import Verb, refusal
from agent.events import AGENT
from agent.intake import Intake
from agent.taps import Pick, Rows, Tap
from collectors.registry import COLLECTORS
from collectors.sink import Stream
from wire.render import render_row, render_rows
from wire.text import read_rfc3339
from wire.yaml.remedies import nearest

KEEPALIVE_SECONDS: Final = 10.0  # an empty line, by which a reader that went away is noticed
BURST_ROWS: Final = 200  # rendered in one piece, so that a burst holds the loop for about 1 ms only
Test = Callable[[Any], bool]
"""Whether a value is the one that was asked for."""


def tail_verb(intake: Intake) -> Verb:
    """Make the verb: `{"verb": "tail", "stream": NAME or null, "where": [[COLUMN, VALUE], ...]}`."""

    async def tail(request: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        stream, where = request.get("stream"), request.get("where") or []
        mistake = _mistake(stream, where)
        if mistake:
            yield mistake
            return
        pick = picker([(str(column), str(value)) for column, value in where]) if where else None
        tap = intake.subscribe(stream, pick=pick)
        try:
            yield b'{"tail": "open"}'
            async for line in _lines(tap):
                yield line
        finally:
            intake.unsubscribe(tap)

    return tail


async def _lines(tap: Tap) -> AsyncGenerator[bytes, None]:
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE_SECONDS):
                rows, lost = await tap.take()
        except TimeoutError:
            yield b""
            continue
        if lost:
            yield json.dumps({"lost": lost}).encode()
        for start in range(0, len(rows), BURST_ROWS):
            yield b"".join(_render(*each) for each in rows[start : start + BURST_ROWS])[:-1]
            await asyncio.sleep(0)


def _render(stream: Stream, row: tuple[Any, ...]) -> bytes:
    values = {"stream": stream.name, **render_row(stream.columns, row)}
    return render_rows([(key, "str") for key in values], [tuple(values.values())])


def picker(where: Sequence[tuple[str, str]]) -> Pick:
    """Make what picks the rows whose every named column has its value, written as `--json` shows it.

    A stream without such a column has none; nil is `null`, a bool `true` or `false`.
    """
    tests: dict[str, list[tuple[int, Test]] | None] = {}

    def pick(stream: Stream, rows: Rows) -> Rows:
        if stream.name not in tests:
            tests[stream.name] = _tests(stream, where)
        wanted = tests[stream.name]
        if wanted is None:
            return ()
        for place, test in wanted:
            rows = [row for row in rows if test(row[place])]
        return rows

    return pick


def _tests(stream: Stream, where: Sequence[tuple[str, str]]) -> list[tuple[int, Test]] | None:
    places = {name: (place, kind) for place, (name, kind) in enumerate(stream.columns)}
    if not all(column in places for column, _ in where):
        return None
    return [(places[column][0], _test(places[column][1], value)) for column, value in where]


def _test(kind: str, value: str) -> Test:
    """Make the test for one column; to compare the value itself is fifty times as fast as to compare its text."""
    if kind == "str":
        return partial(eq, value) if value != "null" else lambda found: found is None or found == value
    if value == "null" and kind != "float":  # a float that is no number is null too
        return partial(is_, None)
    try:
        if kind == "time":
            return partial(eq, read_rfc3339(value))
        if kind == "int" and str(int(value)) == value:
            return partial(eq, int(value))
    except ValueError:
        pass  # no row can have it
    return lambda found: _text(kind, found) == value


def _text(kind: str, value: Any) -> str:
    """A value as `--json` shows it; text without its quotes."""
    shown = next(iter(render_row([("value", kind)], [value]).values()))
    return shown if isinstance(shown, str) else json.dumps(msgspec.to_builtins(shown))


def _mistake(stream: object, where: object) -> bytes | None:
    """Refuse what can never give a row: an unknown stream, a column that no wanted stream has."""
    streams = _streams()
    if stream is not None and stream not in streams:
        return _unknown("stream", str(stream), sorted(streams))
    if not isinstance(where, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in where):
        return refusal("`where` is no list of [column, value]", is_usage=True)
    wanted = [streams[str(stream)]] if stream is not None else list(streams.values())
    known = {name for one in wanted for name, _ in one.columns}
    unknown = sorted({str(column) for column, _ in where} - known)
    return _unknown("column", unknown[0], sorted(known)) if unknown else None


def _unknown(kind: str, name: str, known: Sequence[str]) -> bytes:
    """Refuse a name, with the one that was probably meant, and all there are."""
    meant = nearest(name, known)
    remedy = f"{kind}s: {', '.join(known)}"
    return refusal(f"no {kind} {name[:64]!r}", f'did you mean "{meant}"?\n{remedy}' if meant else remedy, is_usage=True)


def _streams() -> dict[str, Stream]:
    return {AGENT.name: AGENT} | {stream.name: stream for one in COLLECTORS for stream in one.streams}
