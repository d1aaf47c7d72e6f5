"""Settings of the syslog collector, as they stand in the YAML (`docs/collectors/syslog.md`, "Configuration")."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from collectors.syslog.listener import Listener

SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Names of severity 0 to 7, as in syslog(3)."""

LaneName = Literal["urgent", "normal", "bulk"]


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
        # Port 0 is any free port, and a unit may hand over several sockets under one name: these may stand twice.
        binds = [each.bind for each in self.listeners if each.address.port or each.address.is_unix]
        twice = next((bind for bind in binds if binds.count(bind) > 1), None)
        if twice:
            raise ValueError(f"listeners bind {twice} twice; keep one of them")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is valid and may still not be meant; `edgepost check` prints it."""
        return tuple(f"{listener.bind}: {text}" for listener in self.listeners for text in _warnings(listener))


def _warnings(listener: Listener) -> Iterator[str]:
    if listener.zone_name == "UTC" and not listener.zone:
        yield "a time that names no zone (RFC 3164) is read as UTC; set `zone` if the devices mean another"
    if listener.is_tls:
        from collectors.syslog.tls_files import find_problems

        yield from (f"{problem.what}; {problem.remedy}" for problem in find_problems(listener))
