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
from hashlib import blake2b
from typing import Any, Final

import msgspec

from wire.body import MAX_FRAME, MAX_ROWS, MAX_WINDOW, compress, decode_body
from wire.decode import DIGEST, LIMIT, SIGNED, UNDECODABLE, Refused, read_integer, read_name, unpack
from wire.head import MAX_HEAD, Head, decode_head, encode_head, peek
from wire.names import BatchName, is_name

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
MAX_PATH: Final = 16
DIGEST_BYTES: Final = 16

_MAX_KEYS: Final = 64  # of a hop, those of later versions included
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
    try:
        if digest(head_bytes, body) != claimed:
            raise Refused(DIGEST, "head and body have another digest")
        return Batch(_read_hop(hop), claimed, head_bytes, body, decode_head(head_bytes))
    except Refused as refused:
        refused.name, refused.origin = peek(head_bytes)
        refused.digest = claimed
        raise


def _parts(payload: bytes) -> tuple[Any, bytes, bytes, bytes]:
    if len(payload) > MAX_PAYLOAD:
        raise Refused(LIMIT, "the payload is larger than 1 MiB")
    parts = unpack(payload, array=_MAX_KEYS, text=MAX_PAYLOAD)
    if not isinstance(parts, list) or not parts or parts[0] is not VERSION:
        raise Refused(UNDECODABLE, "not a payload of version 1")
    if list(map(type, parts)) != [int, dict, bytes, bytes, bytes] or len(parts[2]) != DIGEST_BYTES:
        raise Refused(UNDECODABLE, "not [1, hop, digest, head, body]")
    _, hop, claimed, head, body = parts
    if len(head) > MAX_HEAD:
        raise Refused(LIMIT, "the head is larger than 4 KiB")
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
        refused.name, refused.digest, refused.origin = batch.name, batch.digest, head.agent
        raise


def _read_hop(fields: Mapping[str, Any]) -> Hop:
    path = fields.get("path")
    if not isinstance(path, list) or len(path) > MAX_PATH or not all(map(is_name, path)):
        raise Refused(UNDECODABLE, "hop: path is no list of names")
    return Hop(
        sender=read_name(fields.get("sender"), "hop: sender"),
        tier=read_integer(fields.get("tier"), "hop: tier", range(256)),
        path=tuple(path),
        attempt=read_integer(fields.get("attempt"), "hop: attempt", range(1, 1 << 32)),
        sent_ns=read_integer(fields.get("sent_ns"), "hop: sent_ns", SIGNED),
    )
