"""Who may send to a listener, how many at a time, and how much.

    connection ──network?──► per peer? ──► in all? ──► taken          refused ones are reset and counted
    rows       ──bucket of the peer──► so many pass                   the rest is dropped before it is parsed, and counted

A peer is an address: ports and connections of it share one bucket. Nothing here grows with made-up addresses.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from collectors.sink import Sink
from collectors.syslog.listener import Listener

PEERS: Final = 8_192  # remembered; then those that are forgotten first whose memory changes nothing
SHOWN: Final = 3  # peers that status names

Host = str | None
"""An address; None: a process of this machine."""


class Networks:
    """Which addresses may send; with no networks all may."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._known: dict[Host, bool] = {}

    @property
    def is_open(self) -> bool:
        """Whether everybody may."""
        return not self._networks

    def allow(self, host: Host) -> bool:
        """Tell whether an address may send."""
        allowed = self._known.get(host)
        if allowed is None:
            if len(self._known) >= PEERS:
                self._known.clear()
            allowed = self._known[host] = self._look_up(host)
        return allowed

    def _look_up(self, host: Host) -> bool:
        if self.is_open or host is None:
            return True
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


class Tops:
    """Owns a count in all, and one for each of the peers that have most."""

    def __init__(self) -> None:
        self.total = 0
        self._of: Counter[Host] = Counter()

    def add(self, host: Host, amount: int) -> None:
        """Count something of a peer."""
        self.total += amount
        if len(self._of) >= PEERS and host not in self._of:
            self._of = Counter(dict(self._of.most_common(PEERS // 2)))
        self._of[host] += amount

    def shown(self, unit: str) -> list[dict[str, object]]:
        """Name those who have most."""
        return [{"peer": host, unit: amount} for host, amount in self._of.most_common(SHOWN)]


class RateLimit:
    """Owns a token bucket for each peer: it fills at the rate, up to the burst; a row takes one token.

    A bucket that is full again is as good as forgotten, so only peers that lately sent are remembered.
    """

    def __init__(self, rows_per_second: int, *, burst_rows: int) -> None:
        self._rate = rows_per_second
        self._burst = float(burst_rows)
        self._buckets: dict[Host, tuple[float, float]] = {}  # tokens left, and when
        self._dropped = Tops()

    @property
    def is_on(self) -> bool:
        """Whether there is a limit."""
        return self._rate > 0

    def take(self, host: Host, rows: int) -> int:
        """Give how many of `rows` may pass now; the others are to be dropped."""
        if not self._rate:
            return rows
        now = time.monotonic()
        tokens, since = self._buckets.get(host, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        passing = min(rows, int(tokens))
        if len(self._buckets) >= PEERS and host not in self._buckets:
            self._forget(now)
        self._buckets[host] = (tokens - passing, now)
        if passing < rows:
            self._dropped.add(host, rows - passing)
        return passing

    def _forget(self, now: float) -> None:
        """Forget the buckets that are full; where made-up addresses leave none, the older half."""
        full_before = now - self._burst / self._rate
        kept = {host: bucket for host, bucket in self._buckets.items() if bucket[1] > full_before}
        if len(kept) > PEERS // 2:
            kept = dict(sorted(kept.items(), key=lambda item: item[1][1])[-PEERS // 2 :])
        self._buckets = kept

    @property
    def facts(self) -> dict[str, object]:
        """Who was over the limit, those first who lost most."""
        return {"over_rate": self._dropped.shown("rows")} if self._dropped.total else {}


class Admission:
    """Owns the count of connections, per peer and in all, those that still shake hands included."""

    def __init__(self, listener: Listener, sink: Sink) -> None:
        self._listener = listener
        self._sink = sink
        self._networks = Networks(listener.allowed_networks)
        self._held: Counter[Host] = Counter()
        self._in_all = 0
        self._refused = Tops()

    def admit(self, host: Host, *, is_short: bool = False) -> bool:
        """Take one more connection of a peer, or refuse and count it; `is_short` is of file descriptors."""
        reason = self._refusal(host) or ("connection-limit" if is_short else None)
        if reason is None:
            self._held[host] += 1
            self._in_all += 1
            return True
        self._sink.count(reason)
        self._refused.add(host, 1)
        return False

    def leave(self, host: Host) -> None:
        """Note that a connection that was taken is gone."""
        self._in_all -= 1
        self._held[host] -= 1
        if not self._held[host]:
            del self._held[host]

    def _refusal(self, host: Host) -> str | None:
        if not self._networks.allow(host):
            return "not-allowed"
        if self._in_all >= self._listener.max_connections:
            return "connection-limit"
        most = self._listener.max_connections_per_peer
        return "peer-limit" if most and host is not None and self._held[host] >= most else None

    @property
    def facts(self) -> dict[str, object]:
        """Who was refused, those first who tried most."""
        if not self._refused.total:
            return {}
        return {"refused_connections": self._refused.total, "refused_peers": self._refused.shown("connections")}


class DatagramLimits:
    """Lets datagrams of a chunk pass, or not: by network, then by rate."""

    def __init__(self, listener: Listener, sink: Sink) -> None:
        self._sink = sink
        self._networks = Networks(listener.allowed_networks)
        self._rates = RateLimit(listener.rows_per_second_per_peer, burst_rows=listener.burst_rows_per_peer)
        self._refused = Tops()
        self.is_open = self._networks.is_open and not self._rates.is_on

    @property
    def facts(self) -> dict[str, object]:
        """What was refused, and who was over the rate."""
        if not self._refused.total:
            return self._rates.facts
        refused = {"refused_datagrams": self._refused.total, "refused_peers": self._refused.shown("datagrams")}
        return {**refused, **self._rates.facts}

    def choose(self, hosts: Sequence[Host]) -> list[bool] | None:
        """Tell of each datagram of a chunk whether it may pass; None: all may, which is the usual, and cheap."""
        room: dict[Host, int] = {}
        is_whole = True
        for host, count in Counter(hosts).items():
            is_allowed = self._networks.allow(host)
            room[host] = self._rates.take(host, count) if is_allowed else 0
            if room[host] == count:
                continue
            is_whole = False
            self._sink.count("rate-limit" if is_allowed else "not-allowed-datagrams", count - room[host])
            if not is_allowed:
                self._refused.add(host, count)
        if is_whole:
            return None
        passing = []
        for host in hosts:
            passing.append(room[host] > 0)
            room[host] -= 1
        return passing


host_of: Final = itemgetter(0)
"""The address of a `Peer`."""
