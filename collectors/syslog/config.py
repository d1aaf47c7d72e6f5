"""Settings of the syslog collector, as they stand in the YAML (`docs/collectors/syslog.md`, "Configuration").

Invariant: a `Syslog` that could be made is one that can listen; what only the machine can tell (a port that is taken,
a buffer that is not granted) is a state at run time, not a mistake here.
"""

import ipaddress
import re
import zoneinfo
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Names of severity 0 to 7, as in syslog(3)."""

_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[^][/?#@]*)\]|(?P<v4>[^][/?#@]*?))(?::(?P<port>[^:/?#@]*))?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_PORT: Final = 65_535

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
    scheme, _, rest = bind.partition("://")
    if scheme not in {"udp", "tcp"} or not rest:
        raise ValueError(f"bind {bind!r}: the transport is not known; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT")
    match = _ADDRESS.fullmatch(rest)
    what = "this is not just an address and a port" if match is None else _what_is_wrong(match)
    if match is None or what:
        raise ValueError(f"bind {bind!r}: {what}; write {scheme}://ADDRESS:PORT, as in {scheme}://[::]:514")
    return Address(scheme, match["v6"] or match["v4"], int(match["port"]))


def _what_is_wrong(match: re.Match[str]) -> str | None:
    """Say why an address and a port cannot be listened at."""
    host, port = match["v6"] or match["v4"] or "", match["port"]
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return f"{host!r} is no IP address" if host else "the IP address is missing"
    if port is None:
        return "the port is missing"
    if (version == 6) is not (match["v6"] is not None):
        return "an IPv6 address stands in brackets, an IPv4 address without"
    return None if _PORT.fullmatch(port) and int(port) <= _MAX_PORT else f"there is no port {port!r}"


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

    def __post_init__(self) -> None:
        binds = [listener.bind for listener in self.listeners if read_bind(listener.bind).port]
        twice = next((bind for bind in binds if binds.count(bind) > 1), None)
        if twice:
            raise ValueError(f"listeners bind {twice} twice; keep one of them")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid and may still not be meant; `edgepost check` prints it."""
        return tuple(
            f"{listener.bind}: a time that names no zone (RFC 3164) is read as UTC; set `zone` if the devices mean another"
            for listener in self.listeners
            if listener.zone == "UTC"
        )
