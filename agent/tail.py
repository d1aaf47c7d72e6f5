"""Live rows for `edgepost tail`: the agent's half.

    intake ──tap (bounded)──► where ──NDJSON──► status socket (bounded) ──► client

The agent pays nothing while nobody reads, and never waits for a reader: who is too slow loses rows and is told how
many. Lines of the answer are rows, keyed as at the center with `stream` before them, or `{"lost": n}`; the first is
`{"tail": "open"}`. `where` is looked at here, so that a narrow question costs the client nothing.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

from agent.answer import Verb, refusal
from agent.events import AGENT
from agent.intake import Intake
from agent.taps import Tap
from collectors.registry import COLLECTORS
from collectors.sink import Stream
from wire.render import render_row, render_rows

KEEPALIVE_SECONDS: Final = 10.0  # an empty line, by which a reader that went away is noticed
BURST_ROWS: Final = 200  # rendered in one piece, so that a burst holds the loop for about 1 ms only

Matches = Callable[[Stream, tuple[Any, ...]], bool]


def tail_verb(intake: Intake) -> Verb:
    """Make the verb: `{"verb": "tail", "stream": NAME or null, "where": [[COLUMN, VALUE], ...]}`."""

    async def tail(request: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        stream, where = request.get("stream"), request.get("where") or []
        mistake = _mistake(stream, where)
        if mistake:
            yield mistake
            return
        tap = intake.subscribe(stream)
        try:
            yield b'{"tail": "open"}'
            async for line in _lines(tap, matcher([(str(column), str(value)) for column, value in where])):
                yield line
        finally:
            intake.unsubscribe(tap)

    return tail


async def _lines(tap: Tap, matches: Matches) -> AsyncGenerator[bytes, None]:
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
            lines = b"".join(_render(*each) for each in rows[start : start + BURST_ROWS] if matches(*each))
            if lines:
                yield lines[:-1]
            await asyncio.sleep(0)


def _render(stream: Stream, row: tuple[Any, ...]) -> bytes:
    values = {"stream": stream.name, **render_row(stream.columns, row)}
    return render_rows([(key, "str") for key in values], [tuple(values.values())])


def matcher(where: Sequence[tuple[str, str]]) -> Matches:
    """Make the test that a row passes when every named column has its value, compared as text as JSON shows it.

    A stream without such a column never passes; nil is `null`, a bool `true` or `false`.
    """
    places: dict[str, list[tuple[int, str]] | None] = {}

    def matches(stream: Stream, row: tuple[Any, ...]) -> bool:
        if stream.name not in places:
            names = [name for name, _ in stream.columns]
            known = all(column in names for column, _ in where)
            places[stream.name] = [(names.index(column), value) for column, value in where] if known else None
        wanted = places[stream.name]
        return wanted is not None and all(_text(row[place]) == value for place, value in wanted)

    return matches


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=lambda other: bytes(other).decode("utf-8", "backslashreplace"))


def _mistake(stream: object, where: object) -> bytes | None:
    """Refuse what can never give a row: an unknown stream, a column that no wanted stream has."""
    streams = _streams()
    if stream is not None and stream not in streams:
        return refusal(f"no stream {str(stream)[:64]!r}", f"streams: {', '.join(sorted(streams))}")
    if not isinstance(where, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in where):
        return refusal("`where` is no list of [column, value]")
    wanted = [streams[str(stream)]] if stream is not None else list(streams.values())
    known = {name for one in wanted for name, _ in one.columns}
    unknown = sorted({str(column) for column, _ in where} - known)
    if unknown:
        return refusal(f"no column {unknown[0][:64]!r}", f"columns: {', '.join(sorted(known))}")
    return None


def _streams() -> dict[str, Stream]:
    return {AGENT.name: AGENT} | {stream.name: stream for one in COLLECTORS for stream in one.streams}
