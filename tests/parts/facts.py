"""Facts of an agent as `edgepost status --json` gives them, for tests of screen and health: nothing runs behind them."""

from copy import deepcopy
from typing import Any

NOW_NS = 1_772_000_000_000_000_000
SECOND = 1_000_000_000

_HEALTHY: dict[str, Any] = {
    "version": 1,
    "edgepost": "0.1.0",
    "agent": "gw-01",
    "site": "north",
    "pid": 4711,
    "started_ns": NOW_NS - 93_600 * SECOND,
    "now_ns": NOW_NS,
    "collectors": [
        {
            "name": "syslog",
            "collector": "syslog",
            "state": "running",
            "restarts": 0,
            "error": None,
            "remedy": None,
            "streams": {
                "syslog": {
                    "rows": 1_234_567,
                    "bytes": 191_000_000,
                    "last_seen_ns": NOW_NS - SECOND // 5,
                    "rows_per_second": 1204.3,
                    "sources": 42,
                }
            },
            "drops": {},
            "reasons": {},
            "report": {
                "listeners": [
                    {"bind": "udp://[::]:514", "state": "listening", "port": 514, "receive_buffer_bytes": 8_388_608},
                    {"bind": "tcp://[::]:514", "state": "listening", "port": 514},
                ]
            },
            "sources": 42,
        }
    ],
    "own": {},
    "changed": {},
    "buffer": {
        "state": "ok",
        "problem": None,
        "remedy": None,
        "limit_bytes": 2 << 30,
        "used_bytes": 4_300_000,
        "disk_free_bytes": 21_000_000_000,
        "epoch": "00" * 16,
        "silent_seconds": 0.0,
        "lanes": [
            {
                "lane": "urgent",
                "batches": 1,
                "bytes": 1_200,
                "oldest_ns": NOW_NS - SECOND // 10,
                "rate_bytes_per_second": 430.0,
                "hours_left": 1387.0,
            },
            {
                "lane": "normal",
                "batches": 3,
                "bytes": 79_000,
                "oldest_ns": NOW_NS - SECOND // 2,
                "rate_bytes_per_second": 26_400.0,
                "hours_left": 22.5,
            },
            {
                "lane": "bulk",
                "batches": 0,
                "bytes": 0,
                "oldest_ns": None,
                "rate_bytes_per_second": 0.0,
                "hours_left": None,
            },
        ],
        "parked": {},
        "memory_batches": 0,
        "memory_bytes": 0,
        "commit_ms": {"median": 3.6, "max": 41.0},
        "account": [
            {"origin": "gw-01", "stream": "agent", "what": "received", "rows": 12, "bytes": 900},
            {"origin": "gw-01", "stream": "agent", "what": "confirmed", "rows": 12, "bytes": 900},
            {"origin": "gw-01", "stream": "syslog", "what": "received", "rows": 1_234_567, "bytes": 27_000_000},
            {"origin": "gw-01", "stream": "syslog", "what": "confirmed", "rows": 1_233_400, "bytes": 26_900_000},
        ],
    },
    "forward": {
        "state": "connected",
        "problem": None,
        "remedy": None,
        "broker": "mqtts://broker.example:8883",
        "brokers": [
            {"url": "mqtts://broker.example:8883", "state": "connected", "error": None},
            {"url": "mqtts://second.example:8883", "state": "not connected", "error": None},
        ],
        "protocol": "5",
        "since_ns": NOW_NS - 7_000 * SECOND,
        "connections": 2,
        "confirm": ["center"],
        "in_flight_batches": 4,
        "in_flight_bytes": 80_200,
        "unreceipted_batches": 4,
        "oldest_unreceipted_seconds": 0.5,
        "smoothed_receipt_ms": 112.0,
        "last_receipt_ns": NOW_NS - SECOND // 4,
        "resent": 0,
        "parked": 0,
        "put_off": {},
        "stalled_seconds": 0.0,
        "held_back": [],
        "sent_batches": 6_210,
        "sent_bytes": 27_000_000,
        "sent_rows": 1_234_567,
    },
    "process": {
        "loop_lag_ms": {"median": 0.4, "max": 12.0},
        "pss_bytes": 43_000_000,
        "cpu_percent": 3.1,
        "threads": 2,
    },
}


def healthy() -> dict[str, Any]:
    """An agent at work, without a problem."""
    return deepcopy(_HEALTHY)


def degraded() -> dict[str, Any]:
    """Broker away, kernel drops, a small receive buffer, a second collector that does not start, batches kept back."""
    facts = healthy()
    syslog = facts["collectors"][0]
    syslog["drops"] = {"kernel": 1_203, "intake-full": 17, "connection-limit": 1, "empty": 4}
    syslog["reasons"] = {
        "kernel": {"unit": "datagrams", "is_loss": True, "is_in_rows": True},
        "intake-full": {"unit": "rows", "is_loss": True, "is_in_rows": True},
        "connection-limit": {"unit": "connections", "is_loss": True, "is_in_rows": False},
        "empty": {"unit": "messages", "is_loss": False, "is_in_rows": False},
    }
    syslog["report"]["listeners"][0].update(
        receive_buffer_bytes=212_992,
        problem="udp://[::]:514: the kernel grants a receive buffer of 212992 bytes, 8388608 were asked",
        remedy="sysctl -w net.core.rmem_max=8388608, then restart",
    )
    facts["collectors"].append(
        {
            "name": "syslog-cameras",
            "collector": "syslog",
            "state": "restarting",
            "restarts": 7,
            "error": "port 5140 is taken by rsyslogd (pid 812)",
            "remedy": "ss -lnptu sport = :5140",
        }
    )
    facts["forward"].update(
        state="not connected",
        broker=None,
        since_ns=None,
        oldest_unreceipted_seconds=None,
        unreceipted_batches=0,
        problem="connection refused by broker.example:8883",
        remedy="nc -vz broker.example 8883",
        in_flight_batches=0,
        in_flight_bytes=0,
        last_receipt_ns=NOW_NS - 7_000 * SECOND,
    )
    facts["forward"]["brokers"][0].update(state="not connected", error="connection refused by broker.example:8883")
    facts["buffer"]["lanes"][1].update(batches=81_000, bytes=1_800_000_000, oldest_ns=NOW_NS - 7_000 * SECOND)
    facts["buffer"]["used_bytes"] = 1_900_000_000
    facts["changed"] = {"syslog": {"shrunk": 2, "mended": 0}}
    facts["buffer"]["parked"] = {"too-large": 1, "lost-alone": 12, "rot": 2}
    facts["forward"]["held_back"] = [
        {
            "agent": "gw-00",
            "site": "north",
            "since_ns": NOW_NS - 60 * SECOND,
            "reason": "center does not take them from gw-01 at north (not-relay)",
            "remedy": "add gw-01 to the receiver's `relays`, or set `agent: gw-00` until they are confirmed",
        }
    ]
    return facts


def guarded() -> dict[str, Any]:
    """TLS, a socket file and limits: handshakes in vain, refused peers, a certificate that ends, a socket unused."""
    facts = healthy()
    facts["unused_sockets"] = ["syslog.socket, stream at :: port 601"]
    listeners = facts["collectors"][0]["report"]["listeners"]
    listeners[0].update(
        handed_over=True,
        refused_datagrams=12_003,
        refused_peers=[{"peer": "198.51.100.7", "datagrams": 12_000}, {"peer": "2001:db8::7", "datagrams": 3}],
        over_rate=[{"peer": "192.0.2.99", "rows": 1_234_567}],
    )
    listeners[1].update(
        connections=1, refused_connections=1, refused_peers=[{"peer": "198.51.100.7", "connections": 1}]
    )
    why = "the sender shows no certificate, and client_certificates is required"
    listeners += [
        {
            "bind": "tls://[::]:6514",
            "state": "listening",
            "port": 6514,
            "connections": 212,
            "handshakes": 3,
            "handshakes_failed": 17,
            "last_handshake_failure": {"peer": "192.0.2.41", "why": why, "at_ns": NOW_NS},
            "certificate_days": 12,
            "certificate_renewals": 1,
            "problem": "tls://[::]:6514: the certificate in cert_file syslog.pem ends in 12 days, on 2026-03-09",
            "remedy": "put the new cert_file and key_file in its place: they are taken up without a restart",
        },
        {"bind": "unix:///run/edgepost/log", "state": "listening", "path": "/run/edgepost/log"},
    ]
    return facts


def down() -> dict[str, Any]:
    """No disk, no broker, no collector."""
    facts = healthy()
    facts["collectors"][0].update(state="failed", error="no such module", streams={}, sources=0, report={})
    facts["buffer"].update(
        state="read-only",
        problem="the file system is read-only: batches are held in memory only",
        remedy="look for I/O errors in `dmesg`, then remount it writable",
        memory_batches=12,
        memory_bytes=900_000,
        account=[],
        commit_ms={"median": None, "max": None},
    )
    facts["forward"].update(
        state="connecting", problem=None, protocol=None, last_receipt_ns=None, smoothed_receipt_ms=None
    )
    return facts


def huge() -> dict[str, Any]:
    """Numbers after a hundred years."""
    facts = healthy()
    syslog = facts["collectors"][0]
    syslog["streams"]["syslog"].update(rows=10**18, rows_per_second=10**7, last_seen_ns=1)
    syslog["sources"] = 10**9
    for lane in facts["buffer"]["lanes"]:
        lane.update(batches=10**13, bytes=10**17, oldest_ns=1, rate_bytes_per_second=1e13, hours_left=1e9)
    facts["buffer"].update(used_bytes=10**17, limit_bytes=10**18, commit_ms={"median": 1e9, "max": 1e12})
    for entry in facts["buffer"]["account"]:
        entry["rows"] = 10**24
    facts["forward"].update(
        in_flight_batches=10**12, in_flight_bytes=10**15, smoothed_receipt_ms=1e12, sent_rows=10**20
    )
    facts["process"].update(loop_lag_ms={"median": 1e7, "max": 1e9}, pss_bytes=10**13, cpu_percent=6400.0)
    facts["started_ns"] = 1
    return facts


def hostile() -> dict[str, Any]:
    """Names and errors that try to command the terminal, deceive the eye or break the table."""
    facts = healthy()
    evil = "\x1b[2J\x1b]0;owned\x07\u202egnihsup\u2066 \x9b31m\r\n" + "界" * 60 + "é́" * 30
    facts.update(agent=evil, site=evil)
    facts["collectors"][0].update(name=evil, state=evil, error=evil, remedy=evil, drops={evil: 3})
    facts["collectors"][0]["reasons"] = {evil: {"unit": evil, "is_loss": True, "is_in_rows": False}}
    facts["collectors"][0]["report"]["listeners"][0].update(bind=evil, state=evil, problem=evil, remedy=evil)
    facts["collectors"][0]["report"]["listeners"][1].update(
        last_handshake_failure={"peer": evil, "why": evil},
        handshakes_failed=1,
        refused_connections=2,
        refused_peers=[{"peer": evil, "connections": 2}, evil],
        over_rate=[{"peer": evil, "rows": 1}],
    )
    facts["buffer"].update(state=evil, problem=evil, remedy=evil)
    facts["buffer"]["account"].append(
        {"origin": evil, "stream": evil, "what": f"dropped:{evil}", "rows": 1, "bytes": 1}
    )
    facts["forward"].update(broker=evil, problem=evil, remedy=evil, confirm=[evil])
    facts["forward"]["brokers"][0].update(url=evil, error=evil)
    facts["forward"]["held_back"] = [{"agent": evil, "site": evil, "since_ns": 1, "reason": evil, "remedy": evil}]
    facts["buffer"]["parked"] = {evil: 1}
    facts["changed"] = {evil: {evil: 1}}
    return facts
