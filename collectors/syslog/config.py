"""Settings of the syslog collector, as they stand in the YAML."""

import codecs
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

LaneName = Literal["urgent", "normal", "bulk"]
SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")  # RFC 5424 section 6.2.1


class Listener(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One socket that listens.

    Attributes:
        bind: `udp://ADDRESS:PORT` or `tcp://ADDRESS:PORT`; `[::]` takes IPv4 too.
        encoding: of a message that is not UTF-8.
        zone: of times that name none, such as `Asia/Ho_Chi_Minh`.
        receive_buffer_bytes: asked of the kernel for UDP; status tells what was granted.
        max_message_bytes: a longer message is cut there and flagged.
        max_connections: TCP connections at a time; one more is closed and counted.
        idle_seconds: a TCP connection silent for so long is closed.
    """

    bind: str
    encoding: str = "windows-1258"
    zone: str = "UTC"
    receive_buffer_bytes: Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)] = 8 << 20
    max_message_bytes: Annotated[int, msgspec.Meta(ge=480, le=64 << 10)] = 64 << 10
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 3_600.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.bind)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme not in {"udp", "tcp"} or not parts.hostname or port is None:
            raise ValueError("bind is udp://ADDRESS:PORT or tcp://ADDRESS:PORT, with a port up to 65535")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ValueError(f"the encoding {self.encoding!r} is unknown; such as windows-1258 or latin-1") from None
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"the zone {self.zone!r} is unknown; such as Asia/Ho_Chi_Minh") from None

    @property
    def transport(self) -> str:
        """`udp` or `tcp`."""
        return urlsplit(self.bind).scheme

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to bind."""
        parts = urlsplit(self.bind)
        return parts.hostname or "", parts.port or 0


class Lanes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lane each severity takes.

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


class Syslog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="collector", tag="syslog"):
    """The syslog collector.

    Attributes:
        name: unique among the collectors of this agent.
        listeners: sockets to listen on.
        lanes: which lane each severity takes.
        urgent_rows_per_second: of one peer; what is above goes into the normal lane, counted.
    """

    name: str = "syslog"
    listeners: tuple[Listener, ...] = (Listener(bind="udp://[::]:514"), Listener(bind="tcp://[::]:514"))
    lanes: Lanes = Lanes()
    urgent_rows_per_second: Annotated[int, msgspec.Meta(ge=1)] = 100
