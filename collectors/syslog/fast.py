"""A chunk of lines to rows, touching Python once per column instead of once per line.

    text ──findall──► tuples ──zip──► columns ──memos──► columns ──zip──► rows
                         └ lines the dialect missed ──► next dialect ──► ... ──► slow.parse_line

    1.5 µs a line of RFC 5424, 0.9 of RFC 3164, all 18 columns; the slow path takes 8 to 12.

Invariants:
- One line, one row, in order. A pattern that gives fewer or more tuples than lines is trusted with none of them.
- For every line the row equals that of `slow.parse_line`: dialects take only what they take right.
- No line can slow the others down: what a dialect cannot vouch for (`dialects.py`) goes the slow way alone.
"""

import re
from collections.abc import Container, Iterable, Sequence
from itertools import compress
from operator import itemgetter, not_
from typing import Any, Final, NamedTuple

from collectors.syslog.dialects import Dialect, Found, Origins
from collectors.syslog.slow import Reading, Row, parse_line
from collectors.syslog.times import Times

_pri_of: Final = itemgetter(0)


class _Open(NamedTuple):
    """Rows made so far, and the lines that no dialect took: where their rows belong, and where they came from."""

    rows: list[Any]
    indexes: Sequence[int]
    lines: list[str]
    origins: Origins


def parse_block(
    block: bytes, *, origins: Origins, reading: Reading, order: list[Dialect], doubt: re.Pattern[str]
) -> list[Row] | None:
    """Turn lines joined by LF into as many rows, in order; None where the caller should cut them anew.

    Args:
        block: without a LF at its end.
        origins: as many peers and ports as lines, where they differ.
        reading: of the listener.
        order: in which dialects are tried, from `new_order`; one that took most of a block comes first next time.
        doubt: what a line begins with that may be no line (an octet count, nothing at all).
    """
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    if origins.peers is not None and len(origins.peers) != len(lines):
        return None
    rest = _take_all(text, lines, origins=origins, reading=reading, order=order)
    return None if any(map(doubt.match, rest.lines)) else _finish(rest, reading)


def parse_frames(
    frames: Sequence[bytes], *, cut: Container[int], origins: Origins, reading: Reading, order: list[Dialect]
) -> list[Row]:
    """Turn messages of any bytes into as many rows, in order; only those that need it go the slow way.

    Args:
        frames: messages without their ends; newlines may stand inside.
        cut: indexes of those that are only the beginning of a message.
        origins: as many peers and ports as frames, where they differ.
        reading: of the listener.
        order: as for `parse_block`.
    """
    plain = [b"\n" not in frame and index not in cut and _is_utf8(frame) for index, frame in enumerate(frames)]
    rows: list[Any] = [None] * len(frames)
    if any(plain):
        text = b"\n".join(compress(frames, plain)).decode()
        rest = _take_all(text, text.split("\n"), origins=origins.only(plain), reading=reading, order=order)
        _place(rows, compress(range(len(rows)), plain), _finish(rest, reading))
    reading.times.at(origins.received)
    for index in compress(range(len(rows)), map(not_, plain)):
        rows[index] = parse_line(frames[index], origin=origins.of(index), reading=reading, is_cut=index in cut)
    return rows


def _is_utf8(frame: bytes) -> bool:
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


def _take_all(text: str, lines: list[str], *, origins: Origins, reading: Reading, order: list[Dialect]) -> _Open:
    """Let each dialect take what it can of the lines that are still open."""
    reading.times.at(origins.received)
    rest = _Open([None] * len(lines), range(len(lines)), lines, origins)
    for dialect in tuple(order):
        found = dialect.pattern.findall(text)
        if len(found) != len(rest.lines):
            break
        taken, built = _take(dialect, found, origins=rest.origins, times=reading.times)
        missed = list(map(not_, taken))
        _reorder(order, dialect, share=missed.count(False) / len(lines))
        if not any(missed) and len(taken) == len(lines):
            return _Open(list(built), (), [], origins)
        _place(rest.rows, compress(rest.indexes, taken), built)
        rest = _without_taken(rest, missed)
        if not rest.lines:
            break
        text = "\n".join(rest.lines)
    return rest


def _take(
    dialect: Dialect, found: list[Found], *, origins: Origins, times: Times
) -> tuple[Sequence[Any], Iterable[Row]]:
    """Give which lines the dialect takes, and their rows."""
    taken: Sequence[Any] = list(map(_pri_of, found))
    try:
        return taken, _build(dialect, found, taken, origins=origins, times=times)
    except KeyError:
        taken = [bool(each[0]) and dialect.is_known(each, times) for each in found]
        return taken, _build(dialect, found, taken, origins=origins, times=times)


def _build(
    dialect: Dialect, found: list[Found], taken: Sequence[Any], *, origins: Origins, times: Times
) -> Iterable[Row]:
    if all(taken):
        return dialect.build(found, origins, times)
    hits = list(compress(found, taken))
    return dialect.build(hits, origins.only(taken), times) if hits else ()


def _reorder(order: list[Dialect], dialect: Dialect, *, share: float) -> None:
    """Try a dialect first that took most lines: saves 0.2 µs a line that another one would have missed before."""
    if share > 0.5 and order[0] is not dialect:
        order.remove(dialect)
        order.insert(0, dialect)


def _without_taken(rest: _Open, missed: Sequence[bool]) -> _Open:
    indexes, lines = list(compress(rest.indexes, missed)), list(compress(rest.lines, missed))
    return _Open(rest.rows, indexes, lines, rest.origins.only(missed))


def _finish(rest: _Open, reading: Reading) -> list[Row]:
    """Read what is open the slow way."""
    for place, (index, line) in enumerate(zip(rest.indexes, rest.lines, strict=True)):
        rest.rows[index] = parse_line(line.encode(), origin=rest.origins.of(place), reading=reading)
    return rest.rows


def _place(rows: list[Any], indexes: Iterable[int], built: Iterable[Row]) -> None:
    for index, row in zip(indexes, built, strict=True):
        rows[index] = row
