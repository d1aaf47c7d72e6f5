"""What every decoder here stands on: one error, MessagePack under explicit limits, values checked one by one.

In: bytes from the network, which anybody may have made. Out: plain values of the nine types the format knows, or
`Refused`. Never another exception, never more memory than the limits allow.
"""

from typing import Any, Final

import msgpack

from wire.names import BatchName, is_name

LIMIT: Final = "limit"
UNDECODABLE: Final = "undecodable"
DIGEST: Final = "digest"

SIGNED: Final = range(-(1 << 63), 1 << 63)
UNSIGNED: Final = range(1 << 63)

# What msgpack raises on garbage: ValueError covers FormatError, StackError, ExtraData, OutOfData's siblings and wrong
# UTF-8; OutOfData is its own; the pure-Python unpacker, used where no compiled one exists, recurses.
GARBAGE: Final = (ValueError, msgpack.exceptions.OutOfData, RecursionError)


class Refused(Exception):
    """What came from the network is not taken.

    Attributes:
        reason: one word of `docs/wire-format.md`, section "Refusals": `limit`, `undecodable` or `digest`.
        detail: a sentence for a person; it quotes nothing that came from outside.
        name: of the batch, when it could be read, so that a receipt can be given.
        digest: as the payload claimed it; empty when it could not be read.
        origin: the agent in the head, when it could be read.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.name: BatchName | None = None
        self.digest = b""
        self.origin: str | None = None


def unpacker(data: bytes, *, array: int, text: int) -> msgpack.Unpacker:
    """Give a reader of the MessagePack in `data`.

    Args:
        data: bytes of a length the caller has checked.
        array: the most elements of a list, the most keys of a map. A list is allocated before its elements are seen
            and lists can nest 500 deep, so this bounds memory: 500 x 8 bytes x `array`.
        text: the longest str or bytes.
    """
    reader = msgpack.Unpacker(
        raw=False,
        strict_map_key=True,
        timestamp=0,
        ext_hook=_refuse_ext,
        max_buffer_size=max(len(data), 1),
        max_str_len=text,
        max_bin_len=text,
        max_array_len=array,
        max_map_len=array,
        max_ext_len=0,
    )
    reader.feed(data)
    return reader


def unpack(data: bytes, *, array: int, text: int) -> Any:
    """Read exactly one MessagePack value.

    Raises:
        Refused: `undecodable`: anything else, something after it, or a list, map or text over its limit.
    """
    reader = unpacker(data, array=array, text=text)
    try:
        value = reader.unpack()
    except GARBAGE as error:
        raise Refused(UNDECODABLE, "not MessagePack within the limits") from error
    if reader.tell() != len(data):
        raise Refused(UNDECODABLE, "bytes after the MessagePack value")
    return value


def _refuse_ext(_code: int, _data: bytes) -> Any:
    raise ValueError("extension types are not part of the format")


def read_integer(value: Any, what: str, within: range) -> int:
    """Check that a value is an integer, and no bool, within a range."""
    if type(value) is not int or value not in within:
        raise Refused(UNDECODABLE, f"{what} is no integer in its range")
    return value


def read_bytes(value: Any, what: str, length: int) -> bytes:
    """Check that a value is a bin of exactly `length` bytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise Refused(UNDECODABLE, f"{what} is not {length} bytes")
    return value


def read_name(value: Any, what: str) -> str:
    """Check that a value is a name, safe in a topic, in a path and on a screen."""
    if not isinstance(value, str) or not is_name(value):
        raise Refused(UNDECODABLE, f"{what} is no name")
    return value


def read_text(value: Any, what: str) -> str:
    """Check that a value is a str."""
    if not isinstance(value, str):
        raise Refused(UNDECODABLE, f"{what} is no str")
    return value
