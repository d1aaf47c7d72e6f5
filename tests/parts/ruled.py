"""Rows and rules for tests of rules: syslog rows by keyword, rules as their YAML would give them."""

from typing import Any

import msgspec

from agent.rules import Rule, Rules
from collectors.syslog.rows import SYSLOG, SyslogRow

_ROW = SyslogRow(
    time=None,
    received=1_772_000_000_000_000_000,
    peer="10.1.2.3",
    port=514,
    transport="udp",
    identity=None,
    facility=4,
    severity=6,
    hostname="gw",
    app_name="sshd",
    proc_id=None,
    msg_id=None,
    structured_data=None,
    message="hello",
    format="rfc3164",
    family=None,
    flag=None,
    raw=None,
)


def row(**columns: Any) -> tuple[Any, ...]:
    """One row of the stream syslog."""
    return tuple(_ROW._replace(**columns))


def rule(**keys: Any) -> Rule:
    """One rule; a name is made up where none is given."""
    return msgspec.convert({"name": "a", "do": "drop", **keys}, Rule)


def rules(*several: dict[str, Any]) -> Rules:
    """Rules in their order, named a, b, c where they have no name."""
    return Rules(rule(**{"name": chr(97 + at), **keys}) for at, keys in enumerate(several))


def sort(made: Rules, rows: list[tuple[Any, ...]], lane: int = 1) -> Any:
    """Take syslog rows through rules."""
    return made.sort(SYSLOG, rows, lane)
