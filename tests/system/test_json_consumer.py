"""A consumer off the shelf: `encoding: json` with `confirm: [broker]`, read by mosquitto_sub and jq."""

import json
import subprocess

import pytest
from parts.brokers import mosquitto
from parts.site import site, until
from parts.source import judge, sending

RATE = 500.0

pytestmark = [pytest.mark.needs("mosquitto", "mosquitto_sub", "jq"), pytest.mark.timeout(120)]


async def test_mosquitto_sub_and_jq_read_each_row_once_and_the_brokers_word_ends_custody(tmp_path):
    options = {"confirm": ["broker"], "encoding": "json", "is_started": False}
    async with mosquitto(tmp_path / "broker") as broker, site(tmp_path / "site", broker, **options) as one:
        await one.start_agent()
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent > RATE, seconds=20, what="lines are sent", log=one.log)
        await until(lambda: one.account() == {"received": source.sent}, seconds=20, what="all is held", log=one.log)
        heard = tmp_path / "heard.ndjson"
        with heard.open("wb") as out:
            topics = ["-t", "edgepost/v1/up/+/+/+", "-T", "edgepost/v1/up/+/+/state"]
            command = ["mosquitto_sub", "-p", str(broker.port), "-u", "reader", "-q", "1", *topics]
            reader = subprocess.Popen(command, stdout=out)
        try:
            account = await one.drained()
            await until(lambda: heard.read_bytes().count(b"\n") >= source.sent, seconds=20, what="all is read")
        finally:
            reader.terminate()
            reader.wait(10)
        said = subprocess.run(
            ["jq", "-c", 'select(.stream == "syslog")'], stdin=heard.open("rb"), capture_output=True, check=True
        ).stdout
        rows = [json.loads(line) for line in said.splitlines()]
        found = judge(source, rows)
        assert ([], [], 0) == (found.twice, found.strange, found.lost)
        assert {"received": source.sent, "confirmed": source.sent} == account
        assert {"lab", "edge-1"} == {rows[0]["site"], rows[0]["agent"]}
