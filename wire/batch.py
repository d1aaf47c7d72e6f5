"""A batch on the wire: payload = hop + digest + head + body.

    payload = msgpack [1, hop, digest, head, body]
                          │     │      │     └── bin: zstd of the rows ............. copied for ever
                          │     │      └──────── bin: a map: whose, which, what .... copied for ever
                          │     └─────────────── BLAKE2b-128 of head and body
                          └───────────────────── a map each sender writes anew

A batch is encoded once, where its rows were received. From then on buffer, wire, relay and resend copy its bytes.
Decoding is total: any bytes give a `Batch` or `Refused`. Specified in `docs/wire-format.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from wire.body import COLUMN_TYPES, MAX_FRAME, MAX_ROWS, MAX_WINDOW, compress, decode_body
from wire.names import COLUMN, EPOCH_BYTES, LANES, MAX_SEQ, RESERVED_COLUMNS, BatchName, is_name
from wire.refused import DIGEST, LIMIT, UNDECODABLE, Refused, unpack

__all__ = [
    "DIGEST_BYTES",
    "MAX_FRAME",
    "MAX_HEAD",
    "MAX_PAYLOAD",
    "MAX_ROWS",
    "MAX_WINDOW",
    "Batch",
    "Head",
    "Hop",
    "Refused",
    "compress",
    "decode_head",
    "decode_payload",
    "decode_rows",
    "digest",
    "encode_head",
    "encode_payload",
]

VERSION: Final = 1
MAX_PAYLOAD: Final = 1 << 20
MAX_HEAD: Final = 4096
MAX_COLUMNS: Final = 256
MAX_PATH: Final = 16
DIGEST_BYTES: Final = 16
BOOT_BYTES: Final = 16
CLOCKS: Final = frozenset({"synced", "unsynced", "unknown"})

_MAX_TEXT: Final = 256  # the longest str in a hop or a head; names have 63
_INT64: Final = range(-(1 << 63), 1 << 63)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Hop:
    """What the sender of this hop says about this sending.

    Attributes:
        sender: the name of the sender, as in the topic.
        tier: 0 center, 1 gateway, 2 server.
        path: names of the senders before it, the origin first; empty at the origin.
        attempt: 1 for the first sending, then 2, 3.
        sent_ns: the sender's clock. ns UTC.
    """

    sender: str
    tier: int
    path: tuple[str, ...]
    attempt: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Head:
    """Whose rows these are, which batch this is, and how its body is to be read.

    Attributes:
        columns: name and type of each column, in order.
        first_ns, last_ns: `received` of the first and of the last row. ns UTC.
        dictionary: kept for compression dictionaries; nil in version 1.
        boot: id of the boot of the origin, 16 bytes.
        mono_ns: time since that boot when the head was made.
        clock: whether the origin's clock was `synced`, `unsynced` or `unknown`.
    """

    agent: str
    site: str
    stream: str
    lane: int
    epoch: bytes
    seq: int
    rows: int
    columns: tuple[tuple[str, str], ...]
    first_ns: int
    last_ns: int
    boot: bytes
    mono_ns: int
    clock: str
    encoding: str = "msgpack"
    codec: str = "zstd"
    dictionary: None = None

    @property
    def name(self) -> BatchName:
        """The name of this batch."""
        return BatchName(self.epoch, self.lane, self.seq)


@dataclass(frozen=True, slots=True)
class Batch:
    """One decoded payload; `head_bytes` and `body` are the bytes the digest was made of."""

    hop: Hop
    digest: bytes
    head_bytes: bytes
    body: bytes
    head: Head

    @property
    def name(self) -> BatchName:
        """The name of this batch."""
        return self.head.name


def digest(head: bytes, body: bytes) -> bytes:
    """BLAKE2b-128 over head and body, without key. RFC 7693."""
    state = blake2b(head, digest_size=DIGEST_BYTES)
    state.update(body)
    return state.digest()


def encode_head(head: Head) -> bytes:
    """Encode a head; 2 µs, because the columns of a stream are encoded once and pasted in."""
    return _encoder.encode(
        {
            "agent": head.agent,
            "site": head.site,
            "stream": head.stream,
            "lane": head.lane,
            "epoch": head.epoch,
            "seq": head.seq,
            "rows": head.rows,
            "columns": _encoded_columns(head.columns),
            "first_ns": head.first_ns,
            "last_ns": head.last_ns,
            "encoding": head.encoding,
            "codec": head.codec,
            "dictionary": head.dictionary,
            "boot": head.boot,
            "mono_ns": head.mono_ns,
            "clock": head.clock,
        }
    )


@lru_cache(maxsize=256)
def _encoded_columns(columns: tuple[tuple[str, str], ...]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(columns))


def encode_payload(hop: Hop, *, digest: bytes, head: bytes, body: bytes) -> bytes:
    """Put one MQTT payload together; head and body are copied as they are."""
    said = {
        "sender": hop.sender,
        "tier": hop.tier,
        "path": hop.path,
        "attempt": hop.attempt,
        "sent_ns": hop.sent_ns,
    }
    return _encoder.encode((VERSION, said, digest, head, body))


def decode_payload(payload: bytes) -> Batch:
    """Take a payload apart and check everything but the rows.

    Raises:
        Refused: with the name and the digest of the batch when they could be read, so that a receipt can be given.
    """
    hop, claimed, head_bytes, body = _parts(payload)
    if digest(head_bytes, body) != claimed:
        raise Refused(DIGEST, "head and body have another digest", name=_read_name(head_bytes), digest=claimed)
    try:
        return Batch(_read_hop(hop), claimed, head_bytes, body, decode_head(head_bytes))
    except Refused as refused:
        refused.name = _read_name(head_bytes)
        refused.digest = claimed
        raise


def _parts(payload: bytes) -> tuple[Any, bytes, bytes, bytes]:
    if len(payload) > MAX_PAYLOAD:
        raise Refused(LIMIT, "the payload is larger than 1 MiB")
    parts = unpack(payload, array=MAX_COLUMNS, text=MAX_PAYLOAD)
    if not isinstance(parts, list) or not parts or parts[0] is not VERSION:
        raise Refused(UNDECODABLE, "not a payload of version 1")
    if list(map(type, parts)) != [int, dict, bytes, bytes, bytes] or len(parts[2]) != DIGEST_BYTES:
        raise Refused(UNDECODABLE, "not [1, hop, digest, head, body]")
    _, hop, claimed, head, body = parts
    if len(head) > MAX_HEAD:
        raise Refused(LIMIT, "the head is larger than 4 KiB", digest=claimed)
    return hop, claimed, head, body


def decode_rows(batch: Batch) -> list[list[Any]]:
    """Decode the rows of a batch: as many as the head says, each as wide as its columns, of their types or nil.

    Raises:
        Refused: with the name and the digest of the batch.
    """
    head = batch.head
    try:
        if (head.encoding, head.codec) != ("msgpack", "zstd"):
            raise Refused(UNDECODABLE, "unknown encoding or codec")
        return decode_body(batch.body, head.columns, head.rows)
    except Refused as refused:
        refused.name = batch.name
        refused.digest = batch.digest
        raise


def decode_head(data: bytes) -> Head:
    """Read a head; unknown keys are ignored.

    Raises:
        Refused: a key is missing, or a value is not what the format says.
    """
    if len(data) > MAX_HEAD:
        raise Refused(LIMIT, "the head is larger than 4 KiB")
    fields = unpack(data, array=MAX_COLUMNS, text=_MAX_TEXT)
    if not isinstance(fields, dict):
        raise Refused(UNDECODABLE, "the head is no map")
    name = _name_of(fields)
    rows = _integer(fields, "rows", range(1, 1 << 63))
    if rows > MAX_ROWS:
        raise Refused(LIMIT, "more than 100,000 rows")
    if fields.get("dictionary") is not None:
        raise Refused(UNDECODABLE, "a dictionary is not part of version 1")
    return Head(
        agent=_name(fields, "agent"),
        site=_name(fields, "site"),
        stream=_stream(fields),
        lane=name.lane,
        epoch=name.epoch,
        seq=name.seq,
        rows=rows,
        columns=_columns(fields.get("columns")),
        first_ns=_integer(fields, "first_ns", _INT64),
        last_ns=_integer(fields, "last_ns", _INT64),
        boot=_bytes(fields, "boot", BOOT_BYTES),
        mono_ns=_integer(fields, "mono_ns", _INT64),
        clock=_one_of(fields, "clock", CLOCKS),
        encoding=_name(fields, "encoding"),
        codec=_name(fields, "codec"),
    )


def _read_hop(fields: Mapping[str, Any]) -> Hop:
    path = fields.get("path")
    if not isinstance(path, list) or len(path) > MAX_PATH or not all(map(is_name, path)):
        raise Refused(UNDECODABLE, "hop: path is no list of names")
    return Hop(
        sender=_name(fields, "sender"),
        tier=_integer(fields, "tier", range(256)),
        path=tuple(path),
        attempt=_integer(fields, "attempt", range(1, 1 << 32)),
        sent_ns=_integer(fields, "sent_ns", _INT64),
    )


def _read_name(head: bytes) -> BatchName | None:
    """Read the name out of a head that may be wrong in everything else."""
    try:
        fields = unpack(head, array=MAX_COLUMNS, text=MAX_HEAD)
        return _name_of(fields) if isinstance(fields, dict) else None
    except Refused:
        return None


def _name_of(fields: Mapping[str, Any]) -> BatchName:
    return BatchName(
        epoch=_bytes(fields, "epoch", EPOCH_BYTES),
        lane=_integer(fields, "lane", range(len(LANES))),
        seq=_integer(fields, "seq", range(1, MAX_SEQ + 1)),
    )


def _columns(found: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, list) or not found:
        raise Refused(UNDECODABLE, "head: columns is no list")
    if any(type(column) is not list or len(column) != 2 for column in found):
        raise Refused(UNDECODABLE, "head: a column is not [name, type]")
    try:
        return _checked_columns(tuple((name, kind) for name, kind in found))
    except TypeError as error:  # a list or a map where a str must be: not hashable
        raise Refused(UNDECODABLE, "head: a column is not [name, type]") from error


@lru_cache(maxsize=256)
def _checked_columns(columns: tuple[tuple[Any, Any], ...]) -> tuple[tuple[str, str], ...]:
    for name, kind in columns:
        if not isinstance(name, str) or not COLUMN.fullmatch(name) or name in RESERVED_COLUMNS:
            raise Refused(UNDECODABLE, "head: a column has no proper name")
        if kind not in COLUMN_TYPES:
            raise Refused(UNDECODABLE, "head: a column has an unknown type")
    keys = {f"{name}_b64" if kind == "bytes" else name for name, kind in columns}
    if len(keys) != len(columns):
        raise Refused(UNDECODABLE, "head: two columns have one name")
    return columns


def _name(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not is_name(value):
        raise Refused(UNDECODABLE, f"{key} is no name")
    return value


def _stream(fields: Mapping[str, Any]) -> str:
    stream = _name(fields, "stream")
    if stream == "state":
        raise Refused(UNDECODABLE, "state is no stream")
    return stream


def _one_of(fields: Mapping[str, Any], key: str, values: frozenset[str]) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or value not in values:
        raise Refused(UNDECODABLE, f"{key} is not one of its values")
    return value


def _integer(fields: Mapping[str, Any], key: str, within: range) -> int:
    value = fields.get(key)
    if type(value) is not int or value not in within:
        raise Refused(UNDECODABLE, f"{key} is no integer in its range")
    return value


def _bytes(fields: Mapping[str, Any], key: str, length: int) -> bytes:
    value = fields.get(key)
    if not isinstance(value, bytes) or len(value) != length:
        raise Refused(UNDECODABLE, f"{key} is not {length} bytes")
    return value
