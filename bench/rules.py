"""What a rule costs a row: `PYTHONPATH=. python bench/rules.py` prints the table of docs/rules.md, "What it costs".

One chunk of 1,000 syslog rows, the best of 40 runs, no other part of the agent.
"""

import time
from typing import Any, Final

import msgspec

from agent.rules import Rule, Rules
from collectors.syslog.rows import SYSLOG
from wire.secret import Secret

ROWS: Final = 1_000
RUNS: Final = 40
TEXT: Final = "accepted on eth0 src=192.0.2.{0} dst=10.1.1.1 proto=tcp sport={0} dport=443 len=120"
CASES: Final[dict[str, dict[str, Any]]] = {
    "severity, nothing hit": {"where": {"severity": "emerg"}},
    "severity, 20 % dropped": {"where": {"severity": "debug"}},
    "app_name: exact or list, nothing hit": {"where": {"app_name": ("a", "b", "c")}},
    "app_name: begins with, nothing hit": {"where": {"app_name": "dh*"}},
    "message: contains, nothing hit": {"where": {"message": "*denied*"}},
    "message: ~denied, nothing hit": {"where": {"message": "~denied"}},
    "message: ~(denied|blocked).*from 10, nothing hit": {"where": {"message": "~(denied|blocked).*from 10"}},
    "message: ~accepted, all dropped": {"where": {"message": "~accepted"}},
    "app_name (25 % hit), then an expression": {"where": {"app_name": "kubelet", "message": "~(denied|blocked).*from"}},
    "peer: network, 14 % dropped": {"where": {"peer": "10.3.0.0/16"}},
    "structured_data.ID.PARAM, nothing hit": {"where": {"structured_data.origin.ip": "x"}},
    "lane, all hit": {"do": "lane", "lane": "bulk"},
    "sample per peer, all hit": {"do": "sample", "one_of": 10, "per": ("peer",)},
    "limit per peer, all hit": {"do": "limit", "rows_per_second": 100, "per": ("peer",)},
    "mask message by pattern, not found": {"do": "mask", "column": "message", "pattern": r"password=\S+"},
    "mask message by pattern, found in all": {"do": "mask", "column": "message", "pattern": r"src=\S+"},
    "mask peer by network": {"do": "mask", "column": "peer", "by": "network"},
    "mask peer by hash": {"do": "mask", "column": "peer", "by": "hash", "secret": Secret("correct horse battery")},
}


def make_rows() -> list[tuple[Any, ...]]:
    """Rows with the cardinalities of a district: 250 peers of 7 networks, 50 hosts, 4 programs."""
    return [
        (
            None,
            at,
            f"10.{at % 7}.0.{at % 250}",
            514,
            "udp",
            None,
            4,
            (6, 5, 6, 4, 7)[at % 5],
            f"host{at % 50}",
            ("sshd", "kubelet", "systemd", "nginx")[at % 4],
            str(at),
            None,
            None if at % 3 else {"origin": {"ip": "10.0.0.1"}},
            f"[{at}.123] connection {TEXT.format(at % 250)}",
            "rfc3164",
            None,
            None,
            None,
        )
        for at in range(ROWS)
    ]


def measure(rules: Rules, rows: list[tuple[Any, ...]]) -> float:
    """Give the best time a row, in µs."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.perf_counter()
        rules.sort(SYSLOG, rows, 1)
        best = min(best, time.perf_counter() - begun)
    return best / len(rows) * 1e6


def main() -> None:
    rows = make_rows()
    print("| rule | µs a row |\n|---|---:|")
    print(f"| no rule | {measure(Rules(()), rows):.2f} |")
    for name, keys in CASES.items():
        rule = msgspec.convert({"name": "a", "do": "drop", **keys}, Rule)
        print(f"| {name} | {measure(Rules((rule,)), rows):.2f} |")


if __name__ == "__main__":
    main()
