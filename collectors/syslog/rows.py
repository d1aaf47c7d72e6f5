"""The stream `syslog`: one row per message, whatever its dialect (RFC 5424, RFC 3164, or neither)."""

from typing import Any, NamedTuple

from collectors.sink import Stream, Time


class SyslogRow(NamedTuple):
    """One syslog message.

    Columns:
        time: the device's own time, nil if it gave none. ns UTC. RFC 5424 section 6.2.3; RFC 3164 section 4.1.2.
        received: when the datagram or the last byte of the chunk was read here. ns UTC.
        peer: the sender's address; v4-mapped IPv6 is written as IPv4; nil for a Unix socket.
        port: the sender's port.
        transport: `udp`, `tcp`, `tls` or `unix`.
        identity: who the sender proved to be: the name in its certificate, or user and process; nil if it proved nothing.
        facility: 0 to 23. RFC 5424 section 6.2.1.
        severity: 0 (emerg) to 7 (debug). RFC 5424 section 6.2.1.
        hostname: HOSTNAME, NILVALUE is nil. RFC 5424 section 6.2.4.
        app_name: APP-NAME or the TAG of RFC 3164, NILVALUE is nil.
        proc_id: PROCID, or what stood in brackets after the TAG.
        msg_id: MSGID. RFC 5424 section 6.2.7.
        structured_data: {id: {param: value, or a list of values when repeated}}. RFC 5424 section 6.3.
        message: MSG as text, without BOM.
        format: grammar of the header: `rfc5424`, `rfc3164` or `none`.
        family: the device family whose dialect was recognised, nil if none.
        flag: nil for a whole message, else space-separated reasons (`docs/collectors/syslog.md`, "Flags").
        raw: the exact bytes of a flagged message, else nil.
    """

    time: Time | None
    received: Time
    peer: str | None
    port: int | None
    transport: str
    identity: str | None
    facility: int
    severity: int
    hostname: str | None
    app_name: str | None
    proc_id: str | None
    msg_id: str | None
    structured_data: dict[str, Any] | None
    message: str | None
    format: str
    family: str | None
    flag: str | None
    raw: bytes | None


SYSLOG = Stream("syslog", SyslogRow, source="peer", is_bounded=True)  # structured_data.MAX_PARAMS
