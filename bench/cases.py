"""The measurements. Each takes a contestant, and a generator that is aimed at it, and gives numbers by name.

CPU is user + system of all threads of the contestant (and of its children, where it has some), over the time from the
first line to the last one delivered. One generator serves a case; its cost and that of the parts behind are printed
beside.
"""

import os
import time
from typing import Any

from contest import Contestant
from measure import Cost, busy_seconds, cost, pss_bytes
from places import socket_facts, wait_for
from processes import Part
from watch_part import lateness

Numbers = dict[str, Any]
UDP_STEP = 1.15  # between two rates of the ladder
LEAST_RATE, MOST_RATE = 5_000, 600_000
POLL_SECONDS = 0.1
MOST_SECONDS = 900.0


class Stretch:
    """Costs of everything between two moments, and the highest memory seen when asked on the way."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._before = cost(contestant.pid)
        self._beside = {name: cost(pid) for name, pid in contestant.far_end.beside.items()}
        self._wire = contestant.far_end.wire()
        self._busy, self._own = busy_seconds(), time.process_time()
        self.most_pss = self._before.pss_bytes

    def look(self) -> None:
        """Note the memory now."""
        self.most_pss = max(self.most_pss, pss_bytes(self._contestant.pid))

    def numbers(self, events: int, *, generated: Numbers) -> Numbers:
        """What each event cost."""
        used: Cost = cost(self._contestant.pid).since(self._before)
        far_end = self._contestant.far_end
        wire_bytes, wire_rows = (now - then for now, then in zip(far_end.wire(), self._wire, strict=True))
        behind = {name: cost(pid).since(self._beside[name]).cpu_seconds for name, pid in far_end.beside.items()}
        ours = used.cpu_seconds + sum(behind.values()) + generated["cpu_seconds"] + time.process_time() - self._own
        others = max(0.0, busy_seconds() - self._busy - ours)
        return {
            "cpu us": 1e6 * used.cpu_seconds / events,
            "pss MB": max(self.most_pss, used.pss_bytes) / 1e6,
            "rss MB": used.rss_bytes / 1e6,
            "wire B": wire_bytes / max(1, wire_rows),
            "dirtied B": used.write_bytes / events,
            "generator us": 1e6 * generated["cpu_seconds"] / events,
            **{f"{name} us": 1e6 * seconds / events for name, seconds in behind.items()},
            "others %": 100 * others / used.at / (os.cpu_count() or 1),
        }


def tcp_max(contestant: Contestant, source: Part, *, count: int) -> Numbers:
    """As many lines as it takes in over TCP, from the first one sent to the last one delivered."""
    goal = warm_up(contestant, source, count=min(50_000, count)) + count
    stretch, started = Stretch(contestant), time.perf_counter()
    source.order(count=count)

    def is_done() -> bool:
        stretch.look()
        return contestant.far_end.delivered() >= goal

    wait_for(is_done, seconds=MOST_SECONDS, what="all lines are delivered", every=POLL_SECONDS)
    seconds = time.perf_counter() - started
    return {"events/s": count / seconds, **stretch.numbers(count, generated=source.answer())}


def warm_up(contestant: Contestant, source: Part, *, count: int, rate: float = 0.0) -> int:
    """Send some lines and wait for them; give how many were delivered since its start."""
    warm = contestant.far_end.delivered() + int(source.ask(count=count, rate=rate)["sent"])
    wait_for(lambda: contestant.far_end.delivered() >= warm, seconds=60, what="the warm-up is delivered")
    return warm


def udp_max(contestant: Contestant, source: Part, *, seconds: float, start: float, tries: int = 2) -> Numbers:
    """The highest rate of a ladder at which none of `tries` runs loses a datagram."""
    best: Numbers = {"events/s": 0.0}
    _flood(contestant, source, count=20_000, rate=20_000)
    rate = start
    while LEAST_RATE <= rate < MOST_RATE:
        runs = [_flood(contestant, source, count=int(rate * seconds), rate=rate) for _ in range(tries)]
        first = next((one for one in runs if one["lost"]), None)
        if first is not None:
            best |= {"next rate": first["rate"], "lost there": first["lost"], "counted there": first["counted"]}
            if best["events/s"]:
                break
            rate /= 2
            continue
        best |= {
            "events/s": min(one["rate"] for one in runs),
            **{key: value for key, value in runs[0].items() if key.endswith(("us", "MB"))},
        }
        rate *= UDP_STEP
    granted = socket_facts("udp", contestant.port)
    return best | {"granted B": granted["receive_buffer"] if granted else 0}


def _flood(contestant: Contestant, source: Part, *, count: int, rate: float) -> Numbers:
    """Send at a rate; give what was lost, and what the contestant counted of it."""
    before, counted = contestant.far_end.delivered(), contestant.counted_lost()
    stretch = Stretch(contestant)
    generated = source.ask(count=count, rate=rate)
    arrived = _settle(contestant, before + count) - before
    counted_now = contestant.counted_lost()
    lost_as_counted = None if counted is None or counted_now is None else counted_now - counted
    held = count / generated["seconds"]
    return {
        "lost": count - arrived,
        "counted": lost_as_counted,
        "rate": held,
        **stretch.numbers(count, generated=generated),
    }


def _settle(contestant: Contestant, goal: int, *, quiet_seconds: float = 2.0, most_seconds: float = 60.0) -> int:
    """Wait until the goal is reached or nothing more arrives; give what was delivered."""
    last, since = -1, time.monotonic()
    until = since + most_seconds
    while last < goal and time.monotonic() < until and time.monotonic() - since < quiet_seconds:
        now = int(contestant.far_end.delivered())
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(POLL_SECONDS)
    return last


def steady(contestant: Contestant, source: Part, *, rate: float, seconds: float) -> Numbers:
    """An ordinary load over TCP: cost of an event. Two or three lines a call, each half millisecond, in turn over the connections."""
    warm = warm_up(contestant, source, count=int(2 * rate), rate=rate)
    stretch = Stretch(contestant)
    generated = source.ask(count=int(rate * seconds), rate=rate)
    goal = warm + int(generated["sent"])
    wait_for(lambda: contestant.far_end.delivered() >= goal, seconds=60, what="all is delivered")
    return {
        "events/s": generated["sent"] / generated["seconds"],
        **stretch.numbers(int(generated["sent"]), generated=generated),
    }


def latency(contestant: Contestant, source: Part, *, rate: float, seconds: float) -> Numbers:
    """Socket to sink at an ordinary load, in ms: the moment of sending stands in each line."""
    with lateness(contestant) as ask:
        source.ask(count=int(rate), rate=rate, stamped=True)
        time.sleep(2)
        ask()
        source.ask(count=int(rate * seconds), rate=rate, stamped=True)
        time.sleep(2)
        said = ask()
        median, p99, most = said["late_ms"] or (None, None, None)
        found: Numbers = {"median ms": median, "p99 ms": p99, "max ms": most}
        if said.get("rows"):
            found["wire B"] = said["up_bytes"] / said["rows"]
            found["receipts B"] = said["down_bytes"] / said["rows"]
        return found


def idle(contestant: Contestant, *, seconds: float) -> Numbers:
    """Nothing arrives: memory, and the part of a core that it takes to wait."""
    time.sleep(3)
    before = cost(contestant.pid)
    time.sleep(seconds)
    used = cost(contestant.pid).since(before)
    return {
        "idle cpu %": 100 * used.cpu_seconds / used.at,
        "idle pss MB": used.pss_bytes / 1e6,
        "idle rss MB": used.rss_bytes / 1e6,
    }
