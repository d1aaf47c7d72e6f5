"""Rows to JSON by column type alone, for people and for programs that know nothing of edgepost.

`time` becomes RFC 3339 with nanoseconds (jq and JavaScript round large integers), `bytes` base64 under `NAME_b64`;
every column is there, null included.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from wire.text import rfc3339

_encoder: Final = msgspec.json.Encoder()
Columns = Sequence[tuple[str, str]]


def _time(value: int | None) -> str | None:
    return None if value is None else rfc3339(value)


def _bytes(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


_BY_TYPE: Final[dict[str, Callable[[Any], Any]]] = {"time": _time, "bytes": _bytes}


@cache
def _plan(columns: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ...], tuple[tuple[int, Callable[[Any], Any]], ...]]:
    keys = tuple(f"{name}_b64" if kind == "bytes" else name for name, kind in columns)
    return keys, tuple((at, _BY_TYPE[kind]) for at, (_, kind) in enumerate(columns) if kind in _BY_TYPE)


def render_row(columns: Columns, row: Sequence[Any]) -> dict[str, Any]:
    """Give one row as keys and values ready for JSON."""
    keys, special = _plan(tuple(columns))
    values = list(row)
    for at, render in special:
        values[at] = render(values[at])
    return dict(zip(keys, values, strict=True))


def render_rows(columns: Columns, rows: Iterable[Sequence[Any]], *, envelope: Mapping[str, Any] | None = None) -> bytes:
    """Render rows as NDJSON, one line a row.

    Args:
        columns: (name, type) of each column.
        rows: as decoded from a body.
        envelope: keys written before the columns; with one, `row` (the index in the batch) is added to it.
    """
    columns = tuple(columns)
    if envelope is None:
        return _encoder.encode_lines([render_row(columns, row) for row in rows])
    return _encoder.encode_lines(
        [{**envelope, "row": index, **render_row(columns, row)} for index, row in enumerate(rows)]
    )
