"""Settings of the syslog collector, as they stand in the YAML."""

import msgspec


class Listener(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One socket that listens."""

    bind: str


class Syslog(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="collector", tag="syslog"
):
    """The syslog collector."""

    name: str = "syslog"
    listeners: tuple[Listener, ...] = (Listener(bind="udp://[::]:514"), Listener(bind="tcp://[::]:514"))
