"""What the tests of survival share: rights of the agent at the broker, waiting for its word, closing the account."""

import os
import signal
from pathlib import Path
from typing import Any

from parts.brokers import Running
from parts.reliability import Survived, record
from parts.site import AGENT, SITE, Site, until
from parts.source import Source, judge

RATE = 1000.0
DENIED = f"""
user center
topic readwrite #
user {AGENT}
topic read edgepost/v1/down/{SITE}/{AGENT}
topic readwrite edgepost/v1/up/{SITE}/{AGENT}/state
"""
ALLOWED = f"{DENIED}topic readwrite edgepost/v1/up/{SITE}/{AGENT}/#\n"


async def close_account(fault: str, one: Site, source: Source, *, faults: int = 1) -> None:
    """Wait until all is confirmed; nothing that was sent may be missing or twice, and both ledgers must agree."""
    account = await one.drained()
    found = judge(source, one.rows())
    ledger = one.ledger()
    committed = one.committed_rows()
    said = "closed" if ledger["closed"] else "missing"
    numbers = (found.sent, found.delivered, len(found.twice), found.lost)
    record(Survived(fault, faults, *numbers, account, committed, said))
    assert found.lost_by == {}
    assert found.twice == []
    assert found.strange == []
    assert account == {"received": found.sent, "confirmed": found.sent}
    assert committed == found.sent
    assert ledger["closed"], ledger


def forward_state(one: Site) -> dict[str, Any]:
    status = one.status_or_none()
    return {} if status is None else dict(status["forward"])


async def wait_for_state(one: Site, state: str, *, seconds: float = 40.0) -> dict[str, Any]:
    await until(
        lambda: forward_state(one).get("state") == state, seconds=seconds, what=f"forward is {state}", log=one.log
    )
    return forward_state(one)


def hand_over_acl(broker: Running, folder: Path, acl: str) -> None:
    """Give mosquitto other rights while it runs (mosquitto(8): SIGHUP reads the ACL file again)."""
    (folder / "acl").write_text(acl)
    os.kill(broker.pid, signal.SIGHUP)
