"""An outage and what comes after it: the far end is not there while lines arrive, then it comes, and the backlog leaves.

fill: generator ──► contestant ──► (nobody)          drain: contestant ──► far end
"""

import time

from cases import POLL_SECONDS, Numbers
from contest import Contestant
from measure import cost, pss_bytes
from places import held_bytes, unread_bytes
from processes import Part

QUIET_SECONDS = 45.0  # everybody tries again each second or few; nothing for so long means that nothing more comes
_CALM_SECONDS = 2.0
_CALM_SHARE = 0.1  # of a core: a peer that tries to connect once a second takes less


def catch_up(contestant: Contestant, source: Part, *, count: int) -> Numbers:
    """Send `count` lines into the outage, end it, and follow the backlog until it is gone or nothing more comes.

    Returns:
        `fill ...` while the lines were taken in, `waiting ...` when all of them were held (unless a peer lost some),
        `first after s` from the far end's start to the first line delivered, `drain ...` from there to the last one,
        `not delivered` of the lines sent: lost, or still held when nothing had come for 45 s;
        `counted lost` what the contestant says of it.
    """
    found = _fill(contestant, source, count=count)
    before, started = cost(contestant.pid), time.perf_counter()
    contestant.far_end.start()
    first, last, most_pss, arrived = 0.0, started, 0, 0
    while arrived < count and time.perf_counter() - last < QUIET_SECONDS:
        time.sleep(POLL_SECONDS)
        most_pss = max(most_pss, pss_bytes(contestant.pid))
        now = contestant.far_end.delivered()
        if now != arrived:
            arrived, last = now, time.perf_counter()
            first = first or last
    used = cost(contestant.pid).since(before)
    seconds = last - (first or started)
    return found | {
        "first after s": first - started if first else None,
        "drained in s": seconds,
        "drain events/s": arrived / seconds if seconds else None,
        "drain us": 1e6 * used.cpu_seconds / max(1, arrived),
        "drain pss MB": most_pss / 1e6,
        "not delivered": count - arrived,
        "counted lost": contestant.counted_lost(),
    }


def _fill(contestant: Contestant, source: Part, *, count: int) -> Numbers:
    before, most_pss = cost(contestant.pid), 0
    source.order(count=count)
    unread, moved = 0, before.at
    while (generated := source.answer_within(POLL_SECONDS)) is None:
        most_pss = max(most_pss, pss_bytes(contestant.pid))
        if (now := unread_bytes(contestant.port)) != unread:
            unread, moved = now, time.perf_counter()
        if time.perf_counter() - moved > QUIET_SECONDS:
            raise TimeoutError(f"takes in nothing more, holds {held_bytes(contestant.store) / 1e6:.0f} MB")
    while unread_bytes(contestant.port):
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - before.at
    _calm_down(contestant)
    used = cost(contestant.pid).since(before)
    return {
        "events": count,
        "fill events/s": count / seconds,
        "fill us": 1e6 * used.cpu_seconds / count,
        "fill pss MB": max(most_pss, used.pss_bytes) / 1e6,
        "fill dirtied B": used.write_bytes / count,
        "waiting pss MB": used.pss_bytes / 1e6,
        "held B": held_bytes(contestant.store) / count,
        "generator us": 1e6 * generated["cpu_seconds"] / count,
    }


def _calm_down(contestant: Contestant) -> None:
    """Wait until it has done with what it took in: next to no CPU for a while, or always some."""
    before = cost(contestant.pid)
    until = before.at + QUIET_SECONDS
    while time.perf_counter() < until:
        time.sleep(_CALM_SECONDS)
        now = cost(contestant.pid)
        if now.since(before).cpu_seconds < _CALM_SHARE * _CALM_SECONDS:
            return
        before = now
