"""Many datagrams in one system call: recvmmsg(2) through ctypes, with the senders' addresses.

    socket ──recvmmsg──► 128 slots of 64 KiB, 128 addresses ──► ([datagram, ...], [(peer, port), ...])
       Unix socket:      128 slots of 64 KiB, 128 ucreds ─────► ([datagram, ...], ["uid=0 pid=7", ...])

0.74 µs a datagram where `recvfrom` takes 1.53 (docs/decisions/0003-udp-read.md). A sender's address is turned into
text once, then known by its bytes. Slots are pages nobody has touched until a datagram falls into them, so small
datagrams keep 512 KiB resident, not 8 MiB.
"""

import array
import ctypes
import errno
import mmap
import os
import socket
import struct
from typing import Final, NamedTuple

from collectors.syslog.identity import read_credentials

SLOTS: Final = 128  # 64 cost 5 % more a datagram, 512 save 2 % and hold four times the memory
PEERS: Final = 8_192  # addresses remembered, then forgotten: made-up ones must not fill the memory
_ADDRESS_BYTES: Final = 28  # struct sockaddr_in6; sockaddr_in is shorter
_ADDRESS_STRIDE: Final = 32
_CONTROL_BYTES: Final = (
    32  # CMSG_SPACE of a struct ucred; no room for a descriptor that somebody passes, so it is closed
)
_MSG_DONTWAIT: Final = 0x40
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_IoVec)),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint32))


_WORDS: Final = ctypes.sizeof(_MMsgHdr) // 8
_CONTROL_LENGTH_AT: Final = (_MMsgHdr.header.offset + _MsgHdr.control_length.offset) // 8
_STRIDE: Final = ctypes.sizeof(_MMsgHdr) // 4  # in 32-bit words
_LENGTH_AT: Final = _MMsgHdr.length.offset // 4
_credentials: Final = struct.Struct("16x12s4x")  # a cmsghdr, a struct ucred
_addresses: Final = struct.Struct(f"{_ADDRESS_BYTES}s{_ADDRESS_STRIDE - _ADDRESS_BYTES}x")

Peer = tuple[str | None, int | None]
"""Address and port as text and number; a v4-mapped IPv6 address is written as IPv4."""

_NOBODY: Final[Peer] = (None, None)


class Datagrams(NamedTuple):
    """What one call gave, in the order of arrival. `is_full`: there were as many as fit, so probably there are more.

    Of a Unix socket `peers` are nobody, and `identities` say who sent each; of another one there are none.
    """

    data: list[bytes]
    peers: list[Peer]
    is_full: bool
    identities: list[str]


class DatagramReader:
    """Owns the slots that the kernel writes into, and the addresses known so far. The socket stays the caller's."""

    def __init__(self, sock: socket.socket, *, slot_bytes: int) -> None:
        self._fd = sock.fileno()
        self._slots = mmap.mmap(-1, SLOTS * slot_bytes)
        self._names = bytearray(SLOTS * _ADDRESS_STRIDE)
        self._offsets = [slot * slot_bytes for slot in range(SLOTS)]
        self._vectors = (_IoVec * SLOTS)()
        self._headers = (_MMsgHdr * SLOTS)()
        self._lengths = memoryview(self._headers).cast("B").cast("I")[_LENGTH_AT::_STRIDE]
        self._names_view = memoryview(self._names)
        self._peers: dict[tuple[bytes], Peer] = {}
        self._identities: dict[tuple[bytes], str] = {}
        self._controls = bytearray(SLOTS * _CONTROL_BYTES) if sock.family == socket.AF_UNIX else None
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._point_headers(slot_bytes)

    def _point_headers(self, slot_bytes: int) -> None:
        slots = ctypes.addressof(ctypes.c_char.from_buffer(self._slots))
        names = ctypes.addressof(ctypes.c_char.from_buffer(self._names))
        for slot, (vector, entry) in enumerate(zip(self._vectors, self._headers, strict=True)):
            vector.base = slots + slot * slot_bytes
            vector.length = slot_bytes
            entry.header.name = names + slot * _ADDRESS_STRIDE
            entry.header.name_length = _ADDRESS_BYTES
            entry.header.iov = ctypes.pointer(vector)
            entry.header.iov_length = 1
        if self._controls is None:
            return
        controls = ctypes.addressof(ctypes.c_char.from_buffer(self._controls))
        for slot, entry in enumerate(self._headers):
            entry.header.name = None  # a sender's own path says nothing that can be trusted
            entry.header.name_length = 0
            entry.header.control = controls + slot * _CONTROL_BYTES
        self._control_lengths = memoryview(self._headers).cast("B").cast("L")[_CONTROL_LENGTH_AT::_WORDS]
        self._whole = array.array("L", [_CONTROL_BYTES] * SLOTS)

    def read(self) -> Datagrams:
        """Take up to `SLOTS` datagrams that are there now.

        Raises:
            OSError: of the socket; that nothing is there is no error.
        """
        if self._controls is not None:
            self._control_lengths[:] = memoryview(self._whole)  # the kernel writes there what it used
        got = self._recvmmsg(self._fd, self._headers, SLOTS, _MSG_DONTWAIT, None)
        if got <= 0:
            code = ctypes.get_errno()
            if got < 0 and code not in {errno.EAGAIN, errno.EINTR}:
                raise OSError(code, os.strerror(code))
            return Datagrams([], [], is_full=False, identities=[])
        slots, offsets = self._slots, self._offsets
        data = [slots[at : at + length] for at, length in zip(offsets, self._lengths[:got].tolist(), strict=False)]
        if self._controls is not None:
            return Datagrams(data, [_NOBODY] * got, is_full=got == SLOTS, identities=self._read_identities(got))
        return Datagrams(data, self._read_peers(got), is_full=got == SLOTS, identities=[])

    def _read_peers(self, got: int) -> list[Peer]:
        names = self._names_view[: got * _ADDRESS_STRIDE]
        try:
            return list(map(self._peers.__getitem__, _addresses.iter_unpack(names)))
        except KeyError:
            if len(self._peers) + got > PEERS:
                self._peers.clear()
            for name in _addresses.iter_unpack(names):
                if name not in self._peers:
                    self._peers[name] = read_address(name[0])
            return list(map(self._peers.__getitem__, _addresses.iter_unpack(names)))

    def _read_identities(self, got: int) -> list[str]:
        controls = memoryview(self._controls or b"")[: got * _CONTROL_BYTES]
        found = []
        for ucred in _credentials.iter_unpack(controls):
            if ucred not in self._identities:
                if len(self._identities) >= PEERS:
                    self._identities.clear()
                self._identities[ucred] = read_credentials(ucred[0])
            found.append(self._identities[ucred])
        return found


def read_address(name: bytes) -> Peer:
    """Read a struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)); another family is nobody."""
    (family,) = struct.unpack_from("=H", name)
    (port,) = struct.unpack_from("!H", name, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, name[4:8]), port
    if family != socket.AF_INET6:
        return None, None
    if name.startswith(_V4_MAPPED, 8):
        return socket.inet_ntop(socket.AF_INET, name[20:24]), port
    return socket.inet_ntop(socket.AF_INET6, name[8:24]), port
