"""Settings of the syslog collector, as they stand in the YAML (`docs/collectors/syslog.md`, "Configuration").

Invariant: a `Syslog` that could be made is one that can listen; what only the machine can tell (a port that is taken,
a buffer that is not granted) is a state at run time, not a mistake here.
"""

import ipaddress
import zoneinfo
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Names of severity 0 to 7, as in syslog(3)."""

LaneName = Literal["urgent", "normal", "bulk"]


class Address(NamedTuple):
    """Where a listener listens: `udp` or `tcp`, an IP address without brackets, a port."""

    transport: str
    host: str
    port: int


def read_bind(bind: str) -> Address:
    """Take `transport://ADDRESS:PORT` apart.

    Raises:
        ValueError: with what is wrong and what would be right.
    """
    try:
        parts = urlsplit(bind)
    except ValueError as error:
        raise ValueError(f"bind {bind!r}: {error}; write udp://ADDRESS:PORT, as in udp://[::]:514") from error
    if parts.scheme not in {"udp", "tcp"}:
        raise ValueError(f"bind {bind!r}: the transport is not known; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT")
    try:
        host, port = parts.hostname, parts.port
        ipaddress.ip_address(host or "")
    except ValueError as error:
        raise ValueError(
            f"bind {bind!r}: {error}; write an IP address and a port of at most 65535, as in {parts.scheme}://[::]:514"
        ) from error
    if host is None or port is None or parts.path or parts.query or parts.username:
        raise ValueError(f"bind {bind!r}: write just {parts.scheme}://ADDRESS:PORT, as in {parts.scheme}://[::]:514")
    return Address(parts.scheme, host, port)


def _check_encoding(encoding: str) -> None:
    try:
        bytes(range(256)).decode(encoding, "replace")
    except (LookupError, ValueError) as error:
        raise ValueError(f"encoding {encoding!r} is not known; for example windows-1258, latin-1, gb18030") from error


def _check_zone(zone: str) -> None:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone {zone!r} is not known; for example UTC or Asia/Ho_Chi_Minh") from error


class Listener(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One socket that listens.

    Attributes:
        bind: `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`; `[::]` takes IPv6 and IPv4. Port 0 takes any free port.
        encoding: of messages that are not valid UTF-8, by its Python name.
        zone: time zone of devices that name none, from the IANA database.
        receive_buffer_bytes: the kernel's receive buffer that is asked for. UDP only: TCP grows its own.
        max_message_bytes: longer messages are cut there and flagged `cut`.
        idle_seconds: a TCP connection that sends nothing for so long is closed.
        max_connections: TCP connections at the same time; more are refused and counted.
    """

    bind: str
    encoding: str = "windows-1258"
    zone: str = "UTC"
    receive_buffer_bytes: Annotated[int, msgspec.Meta(ge=4_096, le=1 << 30)] = 8 << 20
    max_message_bytes: Annotated[int, msgspec.Meta(ge=480, le=1 << 20)] = 65_536
    idle_seconds: Annotated[float, msgspec.Meta(ge=1, le=604_800)] = 3_600.0
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1_024

    def __post_init__(self) -> None:
        read_bind(self.bind)
        _check_encoding(self.encoding)
        _check_zone(self.zone)


class Lanes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lane the rows of each severity take: `urgent`, `normal` or `bulk`.

    Attributes:
        emerg: severity 0.
        alert: severity 1.
        crit: severity 2.
        err: severity 3.
        warning: severity 4.
        notice: severity 5.
        info: severity 6.
        debug: severity 7.
    """

    emerg: LaneName = "urgent"
    alert: LaneName = "urgent"
    crit: LaneName = "urgent"
    err: LaneName = "urgent"
    warning: LaneName = "normal"
    notice: LaneName = "normal"
    info: LaneName = "normal"
    debug: LaneName = "bulk"


class Syslog(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="collector", tag="syslog"
):
    """The syslog collector.

    Attributes:
        name: unique among the collectors.
        listeners: all are read by one collector; one that cannot be opened is retried while the others run.
        lanes: the lane of each severity.
        urgent_rows_per_second: from one peer; its further urgent rows of that second take the normal lane, counted.
    """

    name: str = "syslog"
    listeners: Annotated[tuple[Listener, ...], msgspec.Meta(min_length=1, max_length=64)] = (
        Listener(bind="udp://[::]:514"),
        Listener(bind="tcp://[::]:514"),
    )
    lanes: Lanes = Lanes()
    urgent_rows_per_second: Annotated[int, msgspec.Meta(ge=0)] = 100

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid and may still not be meant; `edgepost check` prints it."""
        return tuple(
            f"{listener.bind}: a time that names no zone (RFC 3164) is read as UTC; set `zone` if the devices mean another"
            for listener in self.listeners
            if listener.zone == "UTC"
        )
