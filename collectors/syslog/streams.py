"""What a connection reads from: a plain socket, or the plaintext of TLS. Both give bytes, nothing yet, or an end.

    socket ──recv 16 KiB──► ciphertext (memory) ──SSL_read, a record each──► plaintext, up to a chunk

Reading TLS through memory takes 1.75 µs a record of one line where an SSLSocket takes 3.37 (two system calls each), and
as much for records of 16 KiB. A chunk is filled over as many records as it takes, so what comes behind is as fast as
without TLS. Either a chunk is full, or nothing that was fetched could be decrypted: so no plaintext ever waits where no
selector sees it. Records of one byte cannot hold the loop: a turn fetches at most 128 KiB, 10 ms of the smallest ones.

Source: RFC 8446 section 6.1, RFC 5425 section 4.4: an end without close_notify may have been forged or cut short.
"""

import contextlib
import socket
import ssl
from typing import Any, Final, Protocol

from collectors.syslog.sockets import unread_bytes

Certificate = dict[str, Any]
"""A decoded certificate, as `ssl.SSLSocket.getpeercert` describes it; empty if there is none."""

RAW_BYTES: Final = 16_384  # a read; no more than this, and one record, waits decrypted or not behind a full chunk
_READS: Final = 8  # a turn: a chunk of lines of 100 bytes, a record each, takes five
_UNSENT_BYTES: Final = 65_536  # that a peer makes us answer and does not take


class Stream(Protocol):
    """The receiving side of a connection."""

    def recv(self, size: int) -> bytes:
        """Give up to so many bytes that are here, and none at the sender's orderly end.

        Raises:
            BlockingIOError: nothing is here, and the end neither.
            Broken: it has ended otherwise.
            OSError: of the socket: it has ended otherwise, too.
        """

    def unread_bytes(self) -> int:
        """How many bytes are here that nobody has taken, as they came over the network."""

    def close(self) -> None:
        """Answer the sender's orderly end, where it is to be answered."""


class Broken(OSError):
    """A stream that ended otherwise than its sender said; `reason` is what it is counted by."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class PlainStream:
    """A socket as it is."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.recv = sock.recv

    def unread_bytes(self) -> int:
        """How much the kernel holds."""
        return unread_bytes(self._sock)

    def close(self) -> None:
        """There is nothing to be answered."""


class TlsStream:
    """Owns the TLS state of one connection; the socket stays the caller's."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._arrived, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._outgoing, server_side=True)
        self._unsent = b""
        self._reads = 0  # of this turn
        self._failed: OSError | None = None

    @property
    def has_unsent(self) -> bool:
        """Whether the peer has yet to take something of ours."""
        return bool(self._unsent)

    @property
    def certificate(self) -> Certificate | None:
        """What the peer proved itself by, as the ssl module gives it; it was verified."""
        return self._tls.getpeercert()

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as what is here allows; tell whether it is done.

        Raises:
            OSError: it has failed; the peer has been told why, if it still listens.
        """
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._send()  # before more is waited for
                    if not self._receive():
                        return False
                else:
                    return True
        finally:
            self._send()

    def recv(self, size: int) -> bytes:
        """Give up to `size` bytes of plaintext; fewer only if nothing more of what was fetched can be decrypted."""
        pieces: list[bytes] = []
        has_ended = False
        if self._failed is None:
            self._reads = 0
            try:
                has_ended = self._fill(pieces, size)
            except OSError as error:
                self._failed = error
            self._answer()
        if pieces or has_ended:
            return b"".join(pieces)
        raise self._failed or BlockingIOError  # what came before a failure is whole, so that comes first

    def unread_bytes(self) -> int:
        """Ciphertext here and in the kernel."""
        return self._arrived.pending + unread_bytes(self._sock)

    def close(self) -> None:
        """Answer close_notify with ours: some senders wait for it."""
        with contextlib.suppress(OSError, ValueError):  # who has gone waits for nothing
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self._send()

    def _fill(self, pieces: list[bytes], room: int) -> bool:
        """Read record by record while there is room and more to read; tell whether the sender's end was met."""
        while room:
            piece = self._read(room)
            if not piece:
                return piece is not None
            pieces.append(piece)
            room -= len(piece)
        return False

    def _read(self, size: int) -> bytes | None:
        """Give the plaintext of one record, none at the end, and None while the next one is not whole."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if self._reads == _READS or not self._receive():
                    return None
                self._reads += 1
            except ssl.SSLEOFError as error:
                raise Broken("truncated", "the stream ended without close_notify") from error
            except ssl.SSLError as error:
                raise Broken("tls-broken", str(error)) from error

    def _answer(self) -> None:
        """Send an alert, or the answer to a key update."""
        try:
            self._send()
        except Broken as error:
            self._failed = self._failed or error

    def _receive(self) -> bool:
        """Fetch what is here; tell whether it was anything, its end included."""
        try:
            raw = self._sock.recv(RAW_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        if raw:
            self._arrived.write(raw)
        else:
            self._arrived.write_eof()
        return True

    def _send(self) -> None:
        """Send what TLS has to say, as far as the peer takes it; who is gone cannot be told anything."""
        if not self._outgoing.pending and not self._unsent:
            return
        self._unsent += self._outgoing.read()
        if len(self._unsent) > _UNSENT_BYTES:
            raise Broken("tls-broken", "the peer makes us answer and does not take the answers")
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._unsent = b""
