"""What is fuzzed: functions that take any bytes and raise only where a promise is broken.

| target    | the promise                                                                                       |
|-----------|---------------------------------------------------------------------------------------------------|
| `framing` | a stream gives the same messages and rows however it is cut into chunks; what is held is bounded   |
| `parsing` | any bytes give a row; the fast path gives the rows of the slow one; a row travels and comes back   |
| `wire`    | any bytes give a value or `Refused`, and a value is encoded into bytes that give it again          |
| `yaml`    | any bytes give settings or mistakes, each with a place and a remedy                                |

The first byte of an input chooses among variants of a target, so that a corpus of one target holds all of them.
"""

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from parts.batches import HOP, frame, make_head, make_payload

from agent import settings
from agent.encode import encode_rows
from collectors.syslog.connection import read_rows
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.fast import parse_block, parse_frames
from collectors.syslog.framing import DOUBT, Framer, Frames
from collectors.syslog.rows import SYSLOG, SyslogRow
from collectors.syslog.slow import Reading, parse_line
from collectors.syslog.times import Times
from wire.batch import Batch, Refused, compress, decode_head, decode_payload, encode_head, encode_payload
from wire.body import decode_body
from wire.receipts import Receipt, decode_receipts, encode_receipts
from wire.render import render_rows
from wire.state import decode_state, encode_state
from wire.yaml import ConfigError

LIMIT: Final = 480  # the least that may be set as max_message_bytes
COUNT: Final = len(b"9999999 ")
RECEIVED: Final = 1_795_485_600_000_000_000  # 2026-11-24T02:00:00Z
ORIGINS: Final = Origins(RECEIVED, "tcp", peer="192.0.2.1", port=514)
REASONS: Final = frozenset({"limit", "undecodable", "digest"})
COLUMNS: Final = (("t", "time"), ("n", "int"), ("s", "str"), ("r", "bytes"), ("m", "map"), ("l", "list"))


def framing(data: bytes) -> None:
    """The first byte is how many cuts there are, the next ones where; the rest is the stream."""
    cuts = data[0] % 8 if data else 0
    places, stream = data[1 : 1 + cuts], data[1 + cuts :]
    edges = [0, *sorted(place * (len(stream) + 1) // 256 for place in places), len(stream)]
    chunked = [stream[start:end] for start, end in itertools.pairwise(edges) if start < end]
    whole = _messages([stream])
    assert whole == _messages(chunked)
    assert whole == _messages([stream[at : at + 1] for at in range(len(stream))])
    assert _rows(chunked) == [_slowly(message, is_cut=is_cut) for message, is_cut in whole[0]]
    at = 0
    for message, _ in whole[0]:
        assert 0 < len(message) <= LIMIT
        at = stream.index(message, at) + len(message)


def _messages(chunks: Sequence[bytes]) -> tuple[list[tuple[bytes, bool]], Counter[str]]:
    """Each message with whether it is only a beginning, and what was counted."""
    counts: Counter[str] = Counter()
    framer = Framer(LIMIT, lambda reason: counts.update([reason]))
    messages = []
    for chunk in chunks:
        frames = framer.feed(chunk)
        frames = framer.cut(frames.data) if frames.block else frames
        messages += _pairs(frames)
        assert framer.held_bytes <= LIMIT + COUNT
    messages += _pairs(framer.finish())
    assert framer.held_bytes == 0
    return messages, counts


def _pairs(frames: Frames) -> list[tuple[bytes, bool]]:
    return [(message, index in frames.beginnings) for index, message in enumerate(frames.messages)]


def _rows(chunks: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """The rows of a connection, as `collectors.syslog.connection` makes them."""
    framer, reading, order = Framer(LIMIT, lambda _: None), _reading(), new_order()

    def read(frames: Frames) -> list[tuple[Any, ...]]:
        return read_rows(frames, framer=framer, origins=ORIGINS, reading=reading, order=order)

    return [row for chunk in chunks for row in read(framer.feed(chunk))] + read(framer.finish())


def _reading() -> Reading:
    return Reading("windows-1258", Times("Asia/Ho_Chi_Minh"))


def _slowly(line: bytes, *, is_cut: bool = False) -> tuple[Any, ...]:
    reading = _reading()
    reading.times.at(RECEIVED)
    return parse_line(line, origin=ORIGINS.of(0), reading=reading, is_cut=is_cut)


def parsing(data: bytes) -> None:
    """The first byte chooses between a block of lines and datagrams, of which the second may be cut."""
    kind, lines = data[:1], data[1:].split(b"\n")
    expected = [_slowly(line) for line in lines]
    if kind < b"\x80":
        rows = parse_block(b"\n".join(lines), origins=ORIGINS, reading=_reading(), order=new_order(), doubt=DOUBT)
        assert rows is None or rows == expected
    cut = {1} if len(lines) > 1 else set()
    expected = [_slowly(line, is_cut=index in cut) for index, line in enumerate(lines)]
    assert expected == parse_frames(lines, cut=cut, origins=ORIGINS, reading=_reading(), order=new_order())
    for line, row in zip(lines, expected, strict=True):
        _check_row(line, SyslogRow(*row))
    body = b"".join(
        (b"\xdd", len(expected).to_bytes(4, "big"), *(piece.data for piece in encode_rows(expected, SYSLOG).pieces))
    )
    assert [list(row) for row in expected] == decode_body(compress(body), SYSLOG.columns, len(expected))


def _check_row(line: bytes, row: SyslogRow) -> None:
    assert row.facility in range(24)
    assert row.severity in range(8)
    assert row.format in {"rfc5424", "rfc3164", "none"}
    assert row.raw == (line if row.flag else None)
    assert row.message != ""


def wire(data: bytes) -> None:
    """The first byte chooses what the rest is taken for."""
    variants = (_payload, _head, _body, _zstd, _receipts, _state)
    try:
        variants[data[0] % len(variants) if data else 0](data[1:])
    except Refused as refused:
        assert refused.reason in REASONS


def _payload(data: bytes) -> None:
    batch = decode_payload(data)
    again = encode_payload(batch.hop, digest=batch.digest, head=batch.head_bytes, body=batch.body)
    assert batch == decode_payload(again)


def _head(data: bytes) -> None:
    """A payload whose digest is right, so that the head is read."""
    batch: Batch = decode_payload(make_payload(data, body=b""))
    assert HOP == batch.hop
    assert batch.head == decode_head(encode_head(batch.head))


def _body(data: bytes) -> None:
    """Rows in a frame that is right, so that they are read."""
    rows = data[0] if data else 0
    found = decode_body(frame(b"\xdc\x00" + bytes([rows]) + data[1:]), COLUMNS, rows)
    encoded = msgspec.msgpack.encode(found)  # compared as bytes: NaN is not equal to itself
    assert encoded == msgspec.msgpack.encode(decode_body(compress(encoded), COLUMNS, rows))
    lines = render_rows(COLUMNS, found, envelope={"row": 0}).split(b"\n")
    assert rows == len(lines) - 1
    assert all(len(json.loads(line)) == len(COLUMNS) + 1 for line in lines[:-1])


def _zstd(data: bytes) -> None:
    rows = decode_body(data, make_head().columns, 1)
    assert len(rows) == 1


def _receipts(data: bytes) -> None:
    group, receipts = decode_receipts(data)
    assert (group, receipts) == decode_receipts(encode_receipts(group, receipts))
    assert all(isinstance(receipt, Receipt) for receipt in receipts)


def _state(data: bytes) -> None:
    state = decode_state(data)
    assert state == decode_state(encode_state(state))


def yaml(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_bytes(data)
        try:
            settings.load(path, env={"HOME": "/root"})
        except ConfigError as error:
            assert error.mistakes
            for mistake in error.mistakes:
                assert min(mistake.line, mistake.column) >= 1
                assert mistake.remedy
                assert mistake.text


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "framing": framing,
    "parsing": parsing,
    "wire": wire,
    "yaml": yaml,
}
