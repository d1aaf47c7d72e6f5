"""Make `docs/vectors/*.json`: payloads, receipts and states, good ones and ones that must be refused.

    PYTHONPATH=.:tests python tests/wire/make_vectors.py

Each file is a list of cases: `name`, `hex` (the bytes of the MQTT payload), and either `value` (what they mean; bin as
{"hex": ...}) or `refused` (the reason, and where a receipt is due, the name of the batch). Nothing here depends on a
clock, on chance, or on the version of a library: zstd frames are made by hand.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
from parts.batches import (
    EPOCH,
    HEAD,
    HOP,
    ROW,
    START_NS,
    body_of,
    bomb,
    frame,
    frame_header,
    make_head,
    make_payload,
)

from wire.batch import Batch, Hop, decode_payload, decode_rows, digest, encode_head, encode_payload
from wire.decode import Refused
from wire.names import MAX_SEQ, BatchName
from wire.receipts import Receipt, decode_receipts, encode_receipts
from wire.state import Span, State, decode_state, encode_state

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "vectors"
# 20 rows [nil, START_NS, "the same line again and again"] as libzstd 1.5.7 compresses them at level 1
COMPRESSED = bytes.fromhex(
    "28b52ffd6037028d01006402dc001493c0cf18867251edfa0000bd7468652073616d65206c696e6520616761696e20616e6402000899aac01dca13"
)
ALL_TYPES = (
    ("time", "time"),
    ("received", "time"),
    ("n", "int"),
    ("x", "float"),
    ("b", "bool"),
    ("s", "str"),
    ("raw", "bytes"),
    ("m", "map"),
    ("items", "list"),
)
ALL_VALUES = (START_NS, START_NS + 1, (1 << 64) - 1, -0.5, True, "Huế\n", b"\x00\xff", {"a": ["x", "y"]}, [1, None])
GOOD_HEAD = msgspec.msgpack.decode(encode_head(HEAD))
BODY = body_of([ROW])


def payloads() -> dict[str, bytes]:
    head = encode_head(HEAD)
    said = {"sender": "gw-01", "tier": 2, "path": [], "attempt": 1, "sent_ns": START_NS}
    relayed = Hop(sender="gw-02", tier=1, path=("gw-01",), attempt=3, sent_ns=START_NS)
    wide = make_head(columns=ALL_TYPES, rows=2, stream="everything")
    return {
        "one row": make_payload(body=BODY),
        "every column type, and nil in every column": make_payload(wide, body=body_of([ALL_VALUES, [None] * 9])),
        "through a gateway, third attempt": make_payload(body=BODY, hop=relayed),
        "the greatest seq": make_payload(make_head(seq=MAX_SEQ, lane=2), body=BODY),
        "unknown keys in head and hop are ignored": _pack(
            {**said, "later": 1}, msgspec.msgpack.encode({**GOOD_HEAD, "later": [1, {"a": 2}]}), BODY
        ),
        "rows compressed by libzstd 1.5.7, level 1": make_payload(make_head(rows=20), body=COMPRESSED),
        "several blocks in the frame": make_payload(make_head(rows=200), body=_blocks([[None, 1, "a line"]] * 200)),
        "empty": b"",
        "not MessagePack": b"\xc1",
        "bytes after the payload": make_payload(body=BODY) + b"\0",
        "version 2": msgspec.msgpack.encode([2, said, digest(head, BODY), head, BODY]),
        "six elements": msgspec.msgpack.encode([1, said, digest(head, BODY), head, BODY, None]),
        "wrong digest": encode_payload(HOP, digest=bytes(16), head=head, body=BODY),
        "hop without a sender": _pack({**said, "sender": None}, head, BODY),
        "head is no map": make_payload(b"\x90", body=BODY),
        "head nested 2000 deep": make_payload(b"\x91" * 2000 + b"\xc0", body=BODY),
        "head over 4 KiB": make_payload(_head(later="x" * 4096), body=BODY),
        "agent is a path": make_payload(_head(agent="../etc"), body=BODY),
        "lane 3": make_payload(_head(lane=3), body=BODY),
        "seq 0": make_payload(_head(seq=0), body=BODY),
        "epoch of 15 bytes": make_payload(_head(epoch=EPOCH[1:]), body=BODY),
        "a column named like an envelope's key": make_payload(_head(columns=[["site", "str"]]), body=BODY),
        "a column of an unknown type": make_payload(_head(columns=[["a", "decimal"]]), body=BODY),
        "more than 100,000 rows": make_payload(_head(rows=100_001), body=BODY),
        "a dictionary": make_payload(_head(dictionary=b"x"), body=BODY),
        "an unknown codec": make_payload(make_head(codec="lz4"), body=b"opaque"),
        "body is no zstd": make_payload(body=b"opaque"),
        "frame without a content size": make_payload(body=frame_header(content=None) + b"\x09\0\0\x90"),
        "frame of 512 MiB in 16 KiB": make_payload(body=bomb(size=512 << 20)),
        "frame that holds more than it declares": make_payload(body=bomb(size=200_000, declared=100)),
        "frame with a window of 16 MiB": make_payload(body=frame_header(content=1, window_log=24) + b"\x09\0\0\x90"),
        "two frames": make_payload(body=BODY + BODY),
        "a skippable frame": make_payload(body=b"\x50\x2a\x4d\x18\x04\0\0\0abcd"),
        "fewer rows than the head says": make_payload(make_head(rows=2), body=BODY),
        "a row too narrow": make_payload(body=body_of([ROW[:2]])),
        "a str where a time must be": make_payload(body=body_of([("now", *ROW[1:])])),
        "a row with an extension type": make_payload(body=frame(b"\x91\x93\xc0\xc0\xd6\xff\0\0\0\0")),
        "a str that is no UTF-8": make_payload(body=frame(b"\x91\x93\xc0\xc0\xa2\xed\xa0")),
        "a map with an integer key": make_payload(_map_head(), body=body_of([[{1: 2}]])),
        "lists nested 17 deep": make_payload(_map_head("list"), body=frame(b"\x91\x91" + b"\x91" * 17 + b"\xc0")),
    }


def _blocks(rows: list[Any]) -> bytes:
    """One frame of blocks of 1000 bytes."""
    return frame(msgspec.msgpack.encode(rows), block_bytes=1000)


def _pack(hop: dict[str, Any], head: bytes, body: bytes) -> bytes:
    return msgspec.msgpack.encode([1, hop, digest(head, body), head, body])


def _head(**values: Any) -> bytes:
    return msgspec.msgpack.encode({**GOOD_HEAD, **values})


def _map_head(kind: str = "map") -> Any:
    return make_head(columns=(("m", kind),))


def receipts() -> dict[str, bytes]:
    name = BatchName(EPOCH, 1, 7)
    every = [Receipt(name, bytes(16), outcome) for outcome in ("committed", "repeat", "later")]
    every += [Receipt(name, bytes(16), "refused", "digest"), Receipt(name, bytes(16), "rejected", "conflict")]
    entry = [EPOCH, 1, 7, bytes(16), "committed", None]
    encode = msgspec.msgpack.encode
    return {
        "every outcome": encode_receipts("center", every),
        "I am here": encode_receipts("center", []),
        "an unknown outcome is left out": encode([1, "center", [[*entry[:4], "postponed", None], entry]]),
        "version 2": encode([2, "center", []]),
        "group is no name": encode([1, "Center", []]),
        "epoch of 4 bytes": encode([1, "center", [[b"1234", *entry[1:]]]]),
        "seq 0": encode([1, "center", [[EPOCH, 1, 0, *entry[3:]]]]),
        "five elements": encode([1, "center", [entry[:5]]]),
        "reason is no name": encode([1, "center", [[*entry[:5], "no reason"]]]),
        "bytes after the end": encode_receipts("center", []) + b"\0",
    }


def states() -> dict[str, bytes]:
    spans = (Span(EPOCH, 0, 5, 4), Span(EPOCH, 1, 17, 400))
    confirmed = {"agent": 4, "syslog": 16_000}
    whole = State(
        online=True,
        epoch=EPOCH,
        connection=3,
        version="0.1.0",
        health="healthy",
        spans=spans,
        confirmed=confirmed,
        sent_ns=START_NS,
    )
    encode = msgspec.msgpack.encode
    will = {"state": "offline", "epoch": EPOCH, "connection": 3}
    return {
        "online": encode_state(whole),
        "an epoch drawn while the connection lasts": encode_state(replace(whole, current=bytes(16))),
        "a will needs three keys": encode([1, will]),
        "unknown keys are ignored": encode([1, {**will, "later": {"a": [1]}}]),
        "neither online nor offline": encode([1, {**will, "state": "asleep"}]),
        "current is no epoch": encode([1, {**will, "current": b"short"}]),
        "without an epoch": encode([1, {"state": "online", "connection": 3}]),
        "a span that begins after its end": encode([1, {**will, "spans": [[EPOCH, 1, 9, 7]]}]),
        "a span of lane 3": encode([1, {**will, "spans": [[EPOCH, 3, 1, 1]]}]),
        "version 2": encode([2, will]),
        "empty": b"",
    }


def _payload_value(data: bytes) -> Any:
    batch: Batch = decode_payload(data)
    rows = decode_rows(batch)
    head = {**asdict(batch.head), "columns": [list(column) for column in batch.head.columns]}
    hop = {**asdict(batch.hop), "path": list(batch.hop.path)}
    return {"hop": hop, "digest": batch.digest, "head": head, "rows": rows}


def _receipts_value(data: bytes) -> Any:
    group, found = decode_receipts(data)
    return {"group": group, "receipts": [[*one.name, *one[1:]] for one in found]}


def _state_value(data: bytes) -> Any:
    state = asdict(decode_state(data))
    return {**state, "spans": [list(span) for span in state["spans"]]}


def build() -> dict[str, str]:
    """Give the text of each file by its name."""
    kinds = {
        "payload": (payloads(), _payload_value),
        "receipts": (receipts(), _receipts_value),
        "state": (states(), _state_value),
    }
    return {
        f"{kind}.json": json.dumps(
            [_case(name, data, read) for name, data in cases.items()], indent=1, ensure_ascii=False
        )
        + "\n"
        for kind, (cases, read) in kinds.items()
    }


def _case(name: str, data: bytes, read: Any) -> dict[str, Any]:
    case: dict[str, Any] = {"name": name, "hex": data.hex()}
    try:
        return {**case, "value": plain(read(data))}
    except Refused as refused:
        batch = None if refused.name is None else plain(list(refused.name))
        return {**case, "refused": {"reason": refused.reason, "name": batch}}


def plain(value: Any) -> Any:
    """Make a value fit for JSON: bin becomes {"hex": ...}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    for name, text in build().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
