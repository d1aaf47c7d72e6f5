"""Rules in a whole site: what devices send is at the center or dropped by a rule with its name, and both ledgers close."""

import socket
import subprocess
import sys
from signal import SIGTERM

import pytest
from parts.brokers import mosquitto
from parts.site import Site, environment, site, until

pytestmark = pytest.mark.needs("mosquitto")

RULES = [
    {"name": "no-debug", "where": {"severity": "debug"}, "do": "drop"},
    {"name": "thin-out", "where": {"app_name": "chatty", "severity": ">=info"}, "do": "sample", "one_of": 10},
    {"name": "no-passwords", "do": "mask", "column": "message", "pattern": r"(pass=)\S+", "replacement": r"\1***"},
    {"name": "later", "where": {"app_name": "chatty"}, "do": "lane", "lane": "bulk"},
]


def lines(severity: int, app: str, count: int) -> list[bytes]:
    stamp = "2026-01-31T08:00:00.123Z"
    return [f"<{16 * 8 + severity}>1 {stamp} gw {app} - - - n={at} pass=s3cret{at}".encode() for at in range(count)]


def send(one: Site, data: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", one.port)) as peer:
        peer.sendall(b"\n".join(data) + b"\n")


def status_text(one: Site) -> str:
    command = [sys.executable, "-m", "agent.cli", "status", "--socket", str(one.socket)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30).stdout


async def test_what_a_rule_drops_is_counted_by_its_name_and_told_and_the_rest_arrives_masked(tmp_path):
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker, rules=RULES) as one:
        send(one, lines(7, "app", 300) + lines(6, "chatty", 200) + lines(3, "chatty", 5) + lines(5, "app", 50))
        await until(lambda: one.account().get("received") == 555, seconds=30, what="all lines are taken", log=one.log)
        account = await one.drained()
        expected = {"received": 555, "dropped:rule-no-debug": 300, "dropped:rule-thin-out": 180, "confirmed": 75}
        assert expected == account
        assert 75 == one.committed_rows()

        rows = one.rows()
        assert 75 == len(rows)
        assert {"***"} == {row["message"].partition("pass=")[2] for row in rows}
        assert {("app", 5): 50, ("chatty", 6): 20, ("chatty", 3): 5} == {
            key: sum((row["app_name"], row["severity"]) == key for row in rows)
            for key in {(row["app_name"], row["severity"]) for row in rows}
        }
        assert {"bulk"} == {row["lane"] for row in rows if row["app_name"] == "chatty"}

        status = one.status_or_none()
        assert [("no-debug", 300, 300), ("thin-out", 200, 180), ("no-passwords", 75, 0), ("later", 25, 0)] == [
            (rule["name"], rule["hits"], rule["dropped"]) for rule in status["rules"]
        ]
        assert "healthy" == status["health"]  # dropped on purpose is no loss
        shown = status_text(one)
        assert "300 rule-no-debug" in shown.replace("\n", " ") or "rule-no-debug 300" in shown.replace("\n", " ")
        assert [line.split()[:5] for line in shown.splitlines() if line.startswith("thin-out")] == [
            ["thin-out", "sample", "syslog", "200", "180"]
        ]

        await one.agent.end(SIGTERM)
        told = await until(
            lambda: {
                row["detail"]["rule"]: (row["detail"]["rows"], row["severity"])
                for row in one.rows("agent")
                if row["event"] == "filtered"
            },
            seconds=30,
            what="the center is told what was left out",
            log=one.log,
        )
        assert {"no-debug": (300, 6), "thin-out": (180, 6)} == told
        assert not any(row["event"] == "dropped" for row in one.rows("agent"))
