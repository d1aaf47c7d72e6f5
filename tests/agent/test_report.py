"""What collectors counted is declared once, in its own unit, and stands in the account where it was rows."""

from parts.agents import parts

from agent.report import Drops, teller
from agent.rules import Filtered
from collectors.syslog.reasons import REASONS


def drops_of(agent) -> Drops:
    """What declares the counts of an agent without rules."""
    return Drops(agent.intake, Filtered(agent.intake.rules, teller(agent.intake)))


async def declared(tap) -> dict[str, dict]:
    """The rows put since the last time, by their reason."""
    rows, _ = await tap.take()
    return {row[5]["reason"]: {"event": row[2], **row[5]} for _, row in rows}


async def test_what_has_grown_since_the_last_time_is_declared_at_once_when_asked(tmp_path):
    async with parts(tmp_path) as agent:
        tap, drops = agent.intake.subscribe("agent"), drops_of(agent)
        sink = agent.intake.sink("syslog", REASONS)
        sink.count("kernel", 11_862)
        drops.declare()
        first = await declared(tap)
        sink.count("kernel", 3)
        sink.count("empty")
        drops.declare()
        second = await declared(tap)
        drops.declare()
        assert not tap._rows
    assert ("dropped", 11_862, 11_862) == tuple(first["kernel"][key] for key in ("event", "count", "rows"))
    assert (3, "datagrams", first["kernel"]["last_ns"]) == tuple(
        second["kernel"][key] for key in ("count", "unit", "first_ns")
    )
    assert ("counted", 1, "messages") == tuple(second["empty"][key] for key in ("event", "count", "unit"))


async def test_a_loss_that_is_no_number_of_rows_is_declared_without_one(tmp_path):
    async with parts(tmp_path) as agent:
        tap = agent.intake.subscribe("agent")
        agent.intake.sink("syslog", REASONS).count("connection-limit", 2)
        drops_of(agent).declare()
        row = (await declared(tap))["connection-limit"]
    assert ("dropped", 2, "connections", False) == (row["event"], row["count"], row["unit"], "rows" in row)


async def test_a_reason_that_nobody_declared_is_told_as_a_loss(tmp_path):
    async with parts(tmp_path) as agent:
        tap = agent.intake.subscribe("agent")
        agent.intake.sink("syslog").count("forgotten", 2)
        drops_of(agent).declare()
        assert "dropped" == (await declared(tap))["forgotten"]["event"]


async def test_rows_that_never_were_stand_in_the_account_over_a_restart_and_only_they(tmp_path):
    async with parts(tmp_path) as agent:
        sink = agent.intake.sink("syslog", REASONS)
        sink.count("kernel", 5)
        sink.count("connection-limit", 2)
        sink.count("empty", 9)
    async with parts(tmp_path) as agent:
        account = agent.buffer.facts()["account"]
    assert {("syslog", "received"): 5, ("syslog", "dropped:kernel"): 5} == {
        (entry["stream"], entry["what"]): entry["rows"] for entry in account
    }


async def test_rows_that_were_changed_to_fit_are_told_by_their_stream_as_no_loss(tmp_path):
    async with parts(tmp_path) as agent:
        tap = agent.intake.subscribe("agent")
        agent.intake.note_changed("syslog", shrunk=2)
        drops_of(agent).declare()
        row = (await declared(tap))["shrunk"]
    assert ("counted", "syslog", 2, "rows") == tuple(row[key] for key in ("event", "stream", "count", "unit"))
