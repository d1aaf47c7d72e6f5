"""From a broker's settings to a connected socket, or to a reason and a remedy in words.

    url ──resolve──► addresses ──connect, one after the other──► TCP ──TLS, verified by name──► a socket for MQTT

Nothing here blocks the loop or a thread that nobody ends: names are resolved with a time-out, sockets and TLS
handshakes wait on the loop, and a cancelled attempt leaves no socket behind. TLS files are read anew each time, so
renewed certificates are taken up at the next connection.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from wire.secret import Secret

CONNECT_SECONDS: Final = 10.0
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_EXPIRED: Final = {9: "is not valid yet", 10: "has expired"}  # X509_V_ERR_* of openssl/x509_vfy.h
_OTHER_NAME: Final = {62, 64}

PemFile = Annotated[str, msgspec.Meta(extra={"is_pem": True})]  # a path; `wire/yaml` knows from where
Socket = socket.socket | ssl.SSLSocket


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a broker is and who we are to it.

    Attributes:
        url: `mqtt://host:1883` or `mqtts://host:8883` (TLS). Never with user or password in it.
        user: MQTT user; with certificates the broker may take it from the certificate.
        password: or `password_file`, or `${ENV}`.
        ca_file: certificates that may sign the broker's; default the system's.
        cert_file: our certificate, PEM.
        key_file: its private key, PEM.
    """

    url: str
    user: str | None = None
    password: Secret | None = None
    ca_file: PemFile | None = None
    cert_file: PemFile | None = None
    key_file: PemFile | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_whole = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and not parts.path.strip("/")
        except ValueError:  # a port that is no port, a bracket that is not closed
            raise ValueError("url cannot be taken apart; write mqtts://HOST:PORT, with a port up to 65535") from None
        if parts.username or parts.password:
            raise ValueError("url holds a user or a password; write them as `user` and `password_file`")
        if not is_whole:
            raise ValueError("url names no MQTT broker; write mqtts://HOST:PORT, or mqtt://HOST:PORT without TLS")
        if bool(self.cert_file) != bool(self.key_file):
            here, missing = ("cert_file", "key_file") if self.cert_file else ("key_file", "cert_file")
            raise ValueError(f"{here} alone proves nothing; add `{missing}: PATH`")

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port, by scheme where the URL names none."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


class ConnectFailed(Exception):
    """No connection; `remedy` tells a sysadmin what to do, `is_old_broker` that MQTT 5 was not understood."""

    def __init__(self, reason: str, remedy: str, *, is_old_broker: bool = False) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.is_old_broker = is_old_broker


async def dial(broker: Broker, *, timeout: float = CONNECT_SECONDS) -> Socket:
    """Give a connected, non-blocking socket; TLS is spoken already where the URL asks for it.

    Args:
        broker: whom to call.
        timeout: for the name, and for each of its addresses.

    Raises:
        ConnectFailed: with the reason of the last address.
    """
    context = await asyncio.to_thread(_tls_context, broker) if broker.is_tls else None
    failed: OSError = TimeoutError()
    for family, address in await _resolve(broker, timeout):
        try:
            async with asyncio.timeout(timeout):
                return await _open(family, address, context=context, name=broker.host)
        except OSError as error:  # TimeoutError and SSLError are OSErrors
            failed = error
    raise explain(broker, failed) from failed


async def _resolve(broker: Broker, timeout: float) -> list[tuple[int, Any]]:
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConnectFailed(
            f"the name {broker.host} cannot be resolved", f"check `getent hosts {broker.host}` and /etc/resolv.conf"
        ) from None
    return [(family, address) for family, _, _, _, address in found]


async def _open(family: int, address: Any, *, context: ssl.SSLContext | None, name: str) -> Socket:
    plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with contextlib.ExitStack() as stack:
        stack.callback(plain.close)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 40 ms a window without it
        await asyncio.get_running_loop().sock_connect(plain, address)
        if context is None:
            stack.pop_all()
            return plain
        wrapped = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        stack.callback(wrapped.close)  # wrap_socket has taken the descriptor over
        await _shake_hands(wrapped)
        stack.pop_all()
        return wrapped


async def _shake_hands(wrapped: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            wrapped.do_handshake()
            return
        except ssl.SSLWantReadError:
            await _ready(wrapped, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(wrapped, loop.add_writer, loop.remove_writer)


async def _ready(wrapped: ssl.SSLSocket, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.Event()
    descriptor = wrapped.fileno()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)


def _tls_context(broker: Broker) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if broker.ca_file:
            context.load_verify_locations(broker.ca_file)
        else:
            context.load_default_certs()
    except OSError as error:
        raise ConnectFailed(f"ca_file {broker.ca_file}: {_said(error)}", "give a readable file of PEM") from error
    try:
        if broker.cert_file:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except OSError as error:
        reason = f"cert_file {broker.cert_file} with key_file {broker.key_file}: {_said(error)}"
        raise ConnectFailed(reason, "give readable PEM files that belong together") from error
    return context


def explain(broker: Broker, error: OSError) -> ConnectFailed:
    """Say in words why there is no connection and what to do."""
    where = f"{broker.host}:{broker.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(broker, error)
    if isinstance(error, ssl.SSLError):
        if "ALERT" in (error.reason or ""):
            return ConnectFailed(
                f"{where} ended TLS: {_said(error)}",
                "if it asks for certificates, set cert_file and key_file, signed by a CA that it knows",
            )
        return ConnectFailed(
            f"{where} does not speak TLS as we do: {_said(error)}", "check the port: mqtts:// is usually 8883"
        )
    if isinstance(error, TimeoutError):
        return ConnectFailed(f"{where} does not answer", "check the way to it, its firewall and ours")
    if isinstance(error, ConnectionRefusedError):
        return ConnectFailed(f"nobody listens on {where}", "check that the broker runs, and the port in `url`")
    if error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return ConnectFailed(f"no way to {where}: {_said(error)}", "check `ip route get` to it, and the firewalls")
    if broker.is_tls and isinstance(error, ConnectionError):
        return ConnectFailed(f"{where} breaks off our TLS", "check the port: mqtts:// is usually 8883")
    return ConnectFailed(f"{where}: {_said(error)}", "look into the broker's log")


def _explain_certificate(broker: Broker, error: ssl.SSLCertVerificationError) -> ConnectFailed:
    where = f"the certificate of {broker.host}:{broker.port}"
    code = error.verify_code
    if code in _EXPIRED:
        return ConnectFailed(f"{where} {_EXPIRED[code]}", "renew it at the broker; check this machine's clock")
    if code in _OTHER_NAME:
        return ConnectFailed(
            f"{where} is for another name", f"put the name it has into `url`, or {broker.host} into it"
        )
    trusted = f"ca_file {broker.ca_file}" if broker.ca_file else "this machine's CAs"
    return ConnectFailed(
        f"{where} is not signed by {trusted}: {error.verify_message}", "set ca_file to the CA that signed it"
    )


def _said(error: OSError) -> str:
    text = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (text or str(error) or type(error).__name__).replace("_", " ").lower()
