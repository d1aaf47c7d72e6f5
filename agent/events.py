"""The stream `agent`: what edgepost says about itself, in the same flow as everything else.

The center's ledger reads it: a row lost on purpose is declared here, so that what is missing is known to be missing.
Events and their details are specified in `docs/wire-format.md`, section "The stream agent".
"""

import time
from typing import Any, Final, NamedTuple

from collectors.sink import Stream, Time

INFO: Final = 6
WARNING: Final = 4
ERROR: Final = 3  # data was lost, or somebody must act


class AgentRow(NamedTuple):
    """One event in the life of an agent.

    Columns:
        time: when it happened, by this machine's clock. ns UTC.
        received: the same instant; every stream has both.
        event: `started`, `stopped`, `unclean-stop`, `evicted`, `dropped`, `counted`, `filtered`, `epoch`, `clock-step`,
        `ping`, `collector`.
        severity: as in syslog, 0 to 7. RFC 5424 section 6.2.1.
        text: one sentence for a person.
        detail: the event's values by name.
    """

    time: Time | None
    received: Time
    event: str
    severity: int
    text: str
    detail: dict[str, Any] | None


AGENT: Final = Stream("agent", AgentRow, source="event")


def row(event: str, *, severity: int = INFO, text: str, detail: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """Make one row of the stream `agent`, stamped now."""
    now = time.time_ns()
    return (now, now, event, severity, text, detail)
