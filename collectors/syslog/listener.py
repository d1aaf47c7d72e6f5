"""Settings of one listener, and what of them belongs together (`docs/collectors/syslog.md`, "Configuration").

Invariant: a `Listener` that could be made is one that can listen; what only the machine can tell (a port that is taken,
a buffer that is not granted, a key that cannot be read) is a state at run time, not a mistake here.
"""

import ipaddress
import re
import zoneinfo
from typing import Annotated, Final, Literal

import msgspec

from collectors.syslog.bind import HANDED, Address, read_bind
from collectors.syslog.times import LOCAL

File = Annotated[str, msgspec.Meta(extra={"is_file": True})]
"""A path; a relative one begins at $CREDENTIALS_DIRECTORY where that is set, else at the YAML file."""

_MODE: Final = re.compile(r"0?[0-7]{3}", re.ASCII)
_OF_TLS: Final = ("cert_file", "key_file", "ca_file")
_OF_UNIX: Final = ("socket_owner", "socket_group")


class Listener(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One socket that listens.

    Attributes:
        bind: `udp://`, `tcp://` or `tls://ADDRESS:PORT` (`[::]` takes IPv4 too), `unix:///PATH`, `unix-stream:///PATH`,
            or `fd://NAME` for what systemd hands over.
        encoding: of messages that are not valid UTF-8, by its Python name.
        zone: time zone of devices that name none, from the IANA database, or `local`; null: UTC, for a Unix socket local.
        receive_buffer_bytes: the kernel's receive buffer that is asked for. UDP only: TCP grows its own.
        max_message_bytes: longer messages are cut there and flagged `cut`.
        allowed_networks: who may send, as addresses or CIDR networks; empty: everybody. Others are refused and counted.
        rows_per_second_per_peer: what one address may send for long; more is dropped and counted. 0: no limit.
        burst_rows_per_peer: what it may send at once on top, after it has been quiet.
        urgent_rows_per_second: instead of the collector's, for this listener alone; null: the collector's, counted over
            all its listeners.
        idle_seconds: a connection that sends nothing for so long is closed.
        max_connections: connections at the same time; more are refused and counted.
        max_connections_per_peer: of one address; 0: no limit but `max_connections`.
        handshake_seconds: a TLS connection that takes longer to be made is closed.
        cert_file: our certificate and those between it and its CA, PEM. TLS only, with key_file.
        key_file: its private key, PEM, without a passphrase.
        client_certificates: `none` are asked for, `optional` or `required`; the subject goes into `identity`.
        ca_file: certificates that may sign those of clients, PEM.
        socket_mode: of a Unix socket's file, octal.
        socket_owner: user that the file belongs to, by name or number; null: ours.
        socket_group: its group; null: ours.
    """

    bind: str
    encoding: str = "windows-1258"
    zone: str | None = None
    receive_buffer_bytes: Annotated[int, msgspec.Meta(ge=4_096, le=1 << 30)] = 8 << 20
    max_message_bytes: Annotated[int, msgspec.Meta(ge=480, le=1 << 20)] = 65_536
    allowed_networks: Annotated[tuple[str, ...], msgspec.Meta(max_length=1_024)] = ()
    rows_per_second_per_peer: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    burst_rows_per_peer: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 10_000
    urgent_rows_per_second: Annotated[int, msgspec.Meta(ge=0)] | None = None
    idle_seconds: Annotated[float, msgspec.Meta(ge=1, le=604_800)] = 3_600.0
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1_024
    max_connections_per_peer: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 512
    handshake_seconds: Annotated[float, msgspec.Meta(ge=1, le=300)] = 10.0
    cert_file: File | None = None
    key_file: File | None = None
    client_certificates: Literal["none", "optional", "required"] = "none"
    ca_file: File | None = None
    socket_mode: str = "0666"
    socket_owner: str | None = None
    socket_group: str | None = None

    def __post_init__(self) -> None:
        address = read_bind(self.bind)
        _check_encoding(self.encoding)
        if self.zone is not None:
            _check_zone(self.zone)
        for network in self.allowed_networks:
            _check_network(network)
        self._check_tls(address)
        self._check_unix(address)

    def _check_tls(self, address: Address) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together; add the other one")
        if address.scheme == "tls" and not self.cert_file:
            raise ValueError(f"bind {self.bind} needs cert_file and key_file; add both, or write tcp://")
        if address.scheme not in {"tls", HANDED}:
            for name in _OF_TLS:
                if getattr(self, name):
                    raise ValueError(f"{name} is for TLS, and bind is {self.bind}; write tls://, or leave it out")
        if self.client_certificates != "none" and not self.cert_file:
            raise ValueError(f"client_certificates is for TLS, and bind is {self.bind}; write tls:// with a cert_file")
        if self.client_certificates != "none" and not self.ca_file:
            raise ValueError(
                f"client_certificates {self.client_certificates} needs ca_file; name the CA that signs them"
            )
        if self.ca_file and self.client_certificates == "none":
            raise ValueError("ca_file is for certificates of clients; set client_certificates to optional or required")

    def _check_unix(self, address: Address) -> None:
        if not _MODE.fullmatch(self.socket_mode):
            raise ValueError(f"socket_mode {self.socket_mode!r} is no mode; write three octal digits, as in 0660")
        if not address.is_unix:
            for name in _OF_UNIX:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for Unix sockets, and bind is {self.bind}; leave it out")
        elif self.allowed_networks:
            raise ValueError("allowed_networks is for networks; a Unix socket has socket_mode and socket_group")

    @property
    def address(self) -> Address:
        """`bind`, taken apart."""
        return read_bind(self.bind)

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken on it, if it turns out to be a stream over a network."""
        return self.cert_file is not None

    @property
    def zone_name(self) -> str:
        """The zone of times that name none; who writes to a Unix socket is on this machine and writes its time."""
        return self.zone or (LOCAL if self.address.is_unix else "UTC")


def _check_encoding(encoding: str) -> None:
    try:
        bytes(range(256)).decode(encoding, "replace")
    except (LookupError, ValueError) as error:
        raise ValueError(f"encoding {encoding!r} is not known; for example windows-1258, latin-1, gb18030") from error


def _check_zone(zone: str) -> None:
    if zone == LOCAL:
        return
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone {zone!r} is not known; for example UTC or Asia/Ho_Chi_Minh") from error


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        if "host bits" in str(error):
            meant = ipaddress.ip_network(network, strict=False)
            raise ValueError(
                f"allowed_networks: {network} is no network but an address in one; write {meant}"
            ) from error
        raise ValueError(
            f"allowed_networks: {network!r} is no network; write 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"
        ) from error
