"""What the syslog collector counts by (`docs/collectors/syslog.md`, "Limits and drops")."""

from typing import Final

from collectors.sink import Reason
from collectors.syslog.rows import SYSLOG

_MORE_TIME: Final = "raise `forward.stop_grace_seconds`, or see what holds the rows up: iostat -x 2"
_A_BUG: Final = "journalctl -u edgepost -n 50 has the error: a bug, please report it"

REASONS: Final = (
    Reason(
        "kernel",
        unit="datagrams",
        is_loss=True,
        rows_of=SYSLOG,
        remedy="raise `receive_buffer_bytes` of the listener, and sysctl net.core.rmem_max to the same",
    ),
    Reason("stop", unit="datagrams", is_loss=True, rows_of=SYSLOG, remedy=_MORE_TIME),
    Reason("stop-bytes", unit="bytes", is_loss=True, remedy=_MORE_TIME),
    Reason("failed", unit="datagrams", is_loss=True, rows_of=SYSLOG, remedy=_A_BUG),
    Reason("failed-bytes", unit="bytes", is_loss=True, remedy=_A_BUG),
    Reason(
        "connection-limit",
        unit="connections",
        is_loss=True,
        remedy="raise `max_connections` of the listener, or find who opens so many: ss -tnp",
    ),
    Reason(
        "read-budget",
        unit="connections",
        is_loss=True,
        remedy="TCP senders fill all read buffers: lower `max_connections`, or find who sends without end: ss -tnp",
    ),
    Reason(
        "peer-limit",
        unit="connections",
        is_loss=True,
        remedy="raise `max_connections_per_peer` of the listener, or find why one sender opens so many: ss -tnp",
    ),
    Reason(
        "rate-limit",
        unit="rows",
        is_loss=True,
        rows_of=SYSLOG,
        remedy="quiet the senders that `edgepost status` names, or raise `rows_per_second_per_peer` of the listener",
    ),
    Reason("not-allowed", unit="connections"),
    Reason("not-allowed-datagrams", unit="datagrams"),
    Reason("handshake-failed", unit="connections"),
    Reason("handshake-timeout", unit="connections"),
    Reason("truncated", unit="connections"),
    Reason("tls-broken", unit="connections"),
    Reason("reset", unit="connections"),
    Reason("idle-connection", unit="connections"),
    Reason("cut", unit="messages"),
    Reason("empty", unit="messages"),
    Reason("urgent-limit", unit="rows"),
)
