"""The payload: hop, digest, head and body, and every limit of reading one.

    [1, hop, digest, head, body]          MessagePack; `docs/wire-format.md`, section "Payload"
        hop     map, written anew by each sender
        digest  16 bytes, BLAKE2b over head and body
        head    bin holding a map: whose rows these are; copied for ever
        body    bin: zstd(MessagePack of rows); copied for ever

Reading is total: any bytes give a value or `Refused`. Nothing is decompressed before the frame has declared a size
within the limits, because python-zstandard believes a declared size (16 KiB became 512 MiB).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from threading import local
from typing import Any, Final

import msgpack
import msgspec
import zstandard

from wire.names import EPOCH_BYTES, MAX_SEQ, BatchName, is_name

VERSION: Final = 1
DIGEST_BYTES: Final = 16
MAX_PAYLOAD: Final = 1 << 20
MAX_HEAD: Final = 4096
MAX_ROWS: Final = 100_000
MAX_FRAME: Final = 16 << 20
MAX_WINDOW: Final = 8 << 20
MAX_COLUMNS: Final = 64
MAX_PATH: Final = 8
LEVEL: Final = 1  # zstd: level 3 costs twice the time for 4 % fewer bytes on syslog
_TIME: Final = (int,)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "time": _TIME,
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "str": (str,),
    "bytes": (bytes,),
    "map": (dict,),
    "list": (list,),
}

_encode = msgspec.msgpack.Encoder().encode
_threads = local()


class Refused(Exception):
    """Bytes that are not what they should be.

    Attributes:
        reason: `undecodable`, `limit` or `digest`, as in a receipt.
        name: the batch's name, if it could be read: then a receipt can be given.
        digest: the digest that the payload claims, if it could be read.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.name: BatchName | None = None
        self.digest = b""
        self.origin: str | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """What the sender of this hop says of the sending. `tier`: 0 center, 1 gateway, 2 server."""

    sender: str
    tier: int
    path: tuple[str, ...]
    attempt: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Head:
    """Whose rows these are, which, and how they are encoded. Made once, where the rows were committed first.

    Attributes:
        columns: (name, type) of each column in order.
        first_ns: receipt of the first row, ns UTC.
        last_ns: receipt of the last row, ns UTC.
        boot: the 16 bytes of the machine's boot id.
        mono_ns: nanoseconds since that boot at the commit.
        clock: `synced`, `unsynced` or `unknown`.
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
        """The batch's name."""
        return BatchName(self.epoch, self.lane, self.seq)


@dataclass(frozen=True, slots=True)
class Batch:
    """One payload, read: the bytes as they came, and the head understood."""

    hop: Hop
    digest: bytes
    head_bytes: bytes
    body: bytes
    head: Head

    @property
    def name(self) -> BatchName:
        """The batch's name."""
        return self.head.name


def digest(head: bytes, body: bytes) -> bytes:
    """BLAKE2b-128 over head and body (RFC 7693)."""
    state = hashlib.blake2b(head, digest_size=DIGEST_BYTES)
    state.update(body)
    return state.digest()


def compress(rows: bytes) -> bytes:
    """One zstd frame that declares its size (RFC 8878), by this thread's compressor."""
    compressor: zstandard.ZstdCompressor | None = getattr(_threads, "compressor", None)
    if compressor is None:
        compressor = _threads.compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    return compressor.compress(rows)


@cache
def _columns_raw(columns: tuple[tuple[str, str], ...]) -> msgspec.Raw:
    return msgspec.Raw(_encode(columns))


def encode_head(head: Head) -> bytes:
    """Encode a head; a stream's columns are encoded once and kept."""
    values = {field: getattr(head, field) for field in Head.__slots__}
    values["columns"] = _columns_raw(head.columns)
    return _encode(values)


def encode_payload(hop: Hop, *, digest: bytes, head: bytes, body: bytes) -> bytes:
    """Put a payload together; head and body are copied as they are."""
    said = {"sender": hop.sender, "tier": hop.tier, "path": hop.path, "attempt": hop.attempt, "sent_ns": hop.sent_ns}
    return _encode((VERSION, said, digest, head, body))


def unpack(data: bytes, limit: int) -> Any:
    """Decode MessagePack from the network with every length bounded by `limit` bytes.

    Raises:
        Refused: not MessagePack, more than one value, or something longer than the whole may be.
    """
    if len(data) > limit:
        raise Refused("limit", f"{len(data)} bytes, at most {limit}")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            max_str_len=limit,
            max_bin_len=limit,
            max_array_len=min(limit, MAX_ROWS),
            max_map_len=min(limit, 1024),
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException, OverflowError) as error:
        raise Refused("undecodable", f"not MessagePack: {error}") from None


def decode_payload(payload: bytes) -> Batch:
    """Read a payload and check its digest; the rows stay compressed.

    Raises:
        Refused: with the batch's name whenever the head could be read.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Refused("limit", f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD}")
    match unpack(payload, MAX_PAYLOAD):
        case [1, dict() as hop, bytes() as claimed, bytes() as head_bytes, bytes() as body, *_]:
            pass
        case _:
            raise Refused("undecodable", "not [1, hop, digest, head, body]")
    head = decode_head(head_bytes)
    try:
        if digest(head_bytes, body) != claimed:
            raise Refused("digest", "head and body are not what was digested")
        return Batch(_read_hop(hop), claimed, head_bytes, body, head)
    except Refused as refused:
        refused.name, refused.digest, refused.origin = head.name, claimed[:DIGEST_BYTES], head.agent
        raise


def _read_hop(said: dict[Any, Any]) -> Hop:
    match said:
        case {"sender": str(sender), "tier": int(tier), "path": [*path], "attempt": int(attempt), "sent_ns": int(sent)}:
            if is_name(sender) and len(path) <= MAX_PATH and all(map(is_name, path)):
                return Hop(sender, tier, tuple(path), attempt, sent)
    raise Refused("undecodable", "a hop without sender, tier, path, attempt, sent_ns")


def decode_head(data: bytes) -> Head:
    """Read a head.

    Raises:
        Refused: too long, not a map, or a value that cannot be.
    """
    if len(data) > MAX_HEAD:
        raise Refused("limit", f"head of {len(data)} bytes, at most {MAX_HEAD}")
    said = unpack(data, MAX_HEAD)
    if not isinstance(said, dict):
        raise Refused("undecodable", "a head that is no map")
    try:
        columns = tuple((column[0], column[1]) for column in said["columns"])
        head = Head(**{field: said[field] for field in Head.__slots__ if field != "columns"}, columns=columns)
    except (KeyError, TypeError, IndexError) as error:
        raise Refused("undecodable", f"a head without {error}") from None
    for what, holds in _head_rules(head):
        if not holds:
            raise Refused("undecodable", f"a head with an impossible {what}")
    return head


def _head_rules(head: Head) -> Sequence[tuple[str, bool]]:
    whole = (head.seq, head.rows, head.first_ns, head.last_ns, head.mono_ns, head.lane)
    if not all(type(value) is int for value in whole):
        return (("number", False),)
    return (
        ("agent", is_name(head.agent)),
        ("site", is_name(head.site)),
        ("stream", is_name(head.stream)),
        ("lane", 0 <= head.lane <= 2),
        ("epoch", isinstance(head.epoch, bytes) and len(head.epoch) == EPOCH_BYTES),
        ("seq", 1 <= head.seq <= MAX_SEQ),
        ("rows", 1 <= head.rows <= MAX_ROWS),
        ("columns", _are_columns(head.columns)),
        ("boot", isinstance(head.boot, bytes) and len(head.boot) == EPOCH_BYTES),
        ("clock", head.clock in {"synced", "unsynced", "unknown"}),
        ("encoding", head.encoding == "msgpack" and head.codec == "zstd" and head.dictionary is None),
    )


def _are_columns(columns: tuple[tuple[Any, Any], ...]) -> bool:
    names = [name for name, _ in columns]
    return (
        0 < len(columns) <= MAX_COLUMNS
        and all(isinstance(name, str) and name.isidentifier() and len(name) <= 63 for name in names)
        and len(set(names)) == len(names)
        and all(isinstance(kind, str) and kind in _TYPES for _, kind in columns)
    )


def decode_rows(batch: Batch) -> list[list[Any]]:
    """Decompress and decode the rows of a batch.

    Raises:
        Refused: a frame or rows beyond the limits, or rows that are not what the head says.
    """
    rows = unpack(decompress(batch.body), MAX_FRAME)
    head = batch.head
    if not isinstance(rows, list) or len(rows) != head.rows:
        raise _named(batch, "undecodable", "the rows are not as many as the head says")
    allowed = [(*_TYPES[kind], type(None)) for _, kind in head.columns]
    width = len(allowed)
    for row in rows:
        if type(row) is not list or len(row) != width:
            raise _named(batch, "undecodable", "a row that is not as wide as the columns")
    for column, types in zip(zip(*rows, strict=True), allowed, strict=True):
        if not set(map(type, column)) <= set(types):
            raise _named(batch, "undecodable", "a value that is not of its column's type")
    return rows


def _named(batch: Batch, reason: str, text: str) -> Refused:
    refused = Refused(reason, text)
    refused.name, refused.digest, refused.origin = batch.name, batch.digest, batch.head.agent
    return refused


def decompress(body: bytes) -> bytes:
    """Decompress exactly one frame that declares its size within the limits.

    Raises:
        Refused: no such frame.
    """
    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as error:
        raise Refused("undecodable", f"not a zstd frame: {error}") from None
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN or frame.content_size > MAX_FRAME:
        raise Refused("limit", f"a frame that declares no size up to {MAX_FRAME} bytes")
    if frame.window_size > max(MAX_WINDOW, frame.content_size):
        raise Refused("limit", f"a window of {frame.window_size} bytes")
    decompressor: zstandard.ZstdDecompressor | None = getattr(_threads, "decompressor", None)
    if decompressor is None:
        decompressor = _threads.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_FRAME)
    try:
        rows = decompressor.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Refused("undecodable", f"a broken zstd frame: {error}") from None
    if len(rows) != frame.content_size:
        raise Refused("undecodable", "a frame of another size than it declares")
    return rows
