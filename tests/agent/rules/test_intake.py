"""Rules before intake, on a real buffer: the account closes, taps see what is kept, the center is told."""

from parts.ruled import row, rules

from agent.buffer import Buffer, BufferSettings, Origin
from agent.events import AGENT, AgentRow
from agent.intake import Intake
from agent.rules import Filtered
from collectors.sink import Lane
from collectors.syslog.rows import SYSLOG


async def opened(folder):
    return await Buffer.open(folder, origin=Origin("a1", "s1", bytes(16)), settings=BufferSettings())


def some(*severities):
    return [row(severity=severity, peer=f"10.0.0.{severity}") for severity in severities]


async def account(intake, buffer, folder):
    """Close everything, open the store again, and give the account of syslog: it holds over restarts."""
    await intake.close()
    await buffer.close()
    buffer = await opened(folder)
    entries = buffer.facts()["account"]
    await buffer.close()
    return {one["what"]: one["rows"] for one in entries if one["stream"] == "syslog"}


async def test_what_is_put_is_held_or_dropped_by_a_rule_with_its_name(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(
        buffer,
        rules=rules(
            {"name": "no-debug", "where": {"severity": "debug"}}, {"name": "no-info", "where": {"severity": "info"}}
        ),
    )
    sink = intake.sink("syslog")
    sink.put(SYSLOG, some(7, 6, 5, 7), lane=Lane.NORMAL, mark=("f", b"1"))
    sink.put(SYSLOG, some(7, 7), lane=Lane.BULK, mark=("f", b"2"))
    sink.put(SYSLOG, some(3), lane=Lane.URGENT)
    facts = intake.facts()["syslog"]
    assert (7, 4) == (facts["streams"]["syslog"]["rows"], facts["sources"])  # what devices sent, whatever became of it
    assert {} == facts["drops"]
    expected = {"received": 7, "dropped:rule-no-debug": 4, "dropped:rule-no-info": 1}
    assert expected == await account(intake, buffer, tmp_path)
    buffer = await opened(tmp_path)
    assert {"f": b"2"} == dict(buffer.marks("syslog"))  # the mark of a chunk that was dropped whole
    await buffer.close()


async def test_rows_go_into_the_lane_that_a_rule_gives_them(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, rules=rules({"do": "lane", "lane": "bulk", "where": {"severity": "info"}}))
    intake.sink("syslog").put(SYSLOG, some(6, 5, 6), lane=Lane.NORMAL)
    await intake.close()
    held = [sum(one.rows for one in await buffer.read(lane, after=0, limit_bytes=1 << 20)) for lane in Lane]
    assert [0, 1, 2] == held
    await buffer.close()


async def test_a_tap_sees_what_the_rules_kept(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, rules=rules({"where": {"severity": "debug"}}, {"do": "mask", "column": "message"}))
    tap = intake.subscribe("syslog")
    intake.sink("syslog").put(SYSLOG, some(7, 6))
    rows, _ = await tap.take()
    assert [(6, "***")] == [(each[7], each[13]) for _, each in rows]
    intake.unsubscribe(tap)
    await intake.close()
    await buffer.close()


def test_the_center_is_told_once_what_each_rule_left_out():
    made = rules({"name": "no-debug", "where": {"severity": "debug"}}, {"name": "bulk", "do": "lane", "lane": "bulk"})
    told = []
    filtered = Filtered(made, told.append)
    made.sort(SYSLOG, some(7, 7, 6), 1)
    filtered.declare()
    filtered.declare()
    made.sort(SYSLOG, some(7), 1)
    filtered.declare()
    rows = [AgentRow(*each) for each in told]
    assert [("filtered", 6), ("filtered", 6)] == [(each.event, each.severity) for each in rows]
    first = {key: rows[0].detail[key] for key in ("rule", "do", "stream", "rows")}
    assert {"rule": "no-debug", "do": "drop", "stream": "syslog", "rows": 2} == first
    assert [2, 1] == [each.detail["rows"] for each in rows]
    assert rows[0].detail["last_ns"] <= rows[1].detail["first_ns"] <= rows[1].detail["last_ns"]


async def test_the_agents_own_stream_passes_whatever_the_rules(tmp_path):
    buffer = await opened(tmp_path)
    intake = Intake(buffer, rules=rules({}))
    from agent import events

    intake.sink("agent").put(AGENT, [events.row("ping", text="x")], lane=Lane.URGENT)
    await intake.close()
    assert 1 == sum(one.rows for one in await buffer.read(Lane.URGENT, after=0, limit_bytes=1 << 20))
    await buffer.close()
