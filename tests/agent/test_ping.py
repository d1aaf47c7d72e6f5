"""Ping through a real intake, buffer and forwarder; only the broker's words are spoken by the test."""

import asyncio
import json
from contextlib import aclosing

from parts.agents import parts

from agent.client import show_ping
from agent.ping import ping, ping_verb


async def until(forward):
    async with asyncio.timeout(5):
        while not forward.sender.watchers:
            await asyncio.sleep(0.005)
    return next(iter(forward.sender.watchers))


async def test_every_step_shows_in_order_until_the_receipt(tmp_path):
    async with parts(tmp_path) as agent:
        steps = []

        async def follow():
            async with aclosing(ping(agent.intake, agent.forward, is_durable=lambda: True)) as going:
                steps.extend([(step.step, step.detail) async for step in going])

        following = asyncio.create_task(follow())
        name = await until(agent.forward)
        for step in ("sent", "acked", "receipt other committed", "receipt center later", "receipt center committed"):
            agent.forward.sender.tell(name, step)
        await asyncio.wait_for(following, 5)
        assert [step for step, _ in steps] == [
            "taken", "committed", "sent", "acked", "receipt", "receipt", "receipt", "done",
        ]  # fmt: skip
        assert steps[1][1] == str(name)
        assert agent.forward.sender.watchers == {}
        assert agent.intake.on_named == []


async def test_without_a_broker_it_stands_at_committed(tmp_path):
    async with parts(tmp_path) as agent:
        verb = ping_verb(agent.intake, agent.forward, is_durable=lambda: True)
        got = [json.loads(line)["step"] async for line in verb({"timeout_seconds": 1})]
        assert got == ["taken", "committed", "timeout"]


async def test_a_second_ping_within_a_second_is_refused(tmp_path):
    async with parts(tmp_path) as agent:
        verb = ping_verb(agent.intake, agent.forward, is_durable=lambda: True)
        async for _ in verb({"timeout_seconds": 0.01}):
            pass
        assert ["error" in json.loads(line) async for line in verb({})] == [True]


async def test_a_time_out_that_is_no_number_is_refused(tmp_path):
    async with parts(tmp_path) as agent:
        verb = ping_verb(agent.intake, agent.forward, is_durable=lambda: True)
        for wrong in ("x", -1, 1e9, None):
            assert ["error" in json.loads(line) async for line in verb({"timeout_seconds": wrong})] == [True]


def serve_lines(path, lines):
    import socket
    import threading

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve():
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        connection.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()


def step(name, at_ms, detail=""):
    return {"step": name, "at_ns": at_ms * 1_000_000, "detail": detail}


def test_the_client_prints_each_step_with_its_time_and_ends_with_0(tmp_path, capsys):
    way = [
        step("taken", 0),
        step("committed", 52, "ab/urgent/1"),
        step("sent", 53, "mqtt://b"),
        step("acked", 60, "mqtt://b"),
    ]
    serve_lines(tmp_path / "s", [*way, step("receipt", 181, "center committed"), step("done", 181)])
    assert show_ping(str(tmp_path / "s"), timeout_seconds=5) == 0
    out = capsys.readouterr().out
    assert "52.0 ms  committed as ab/urgent/1" in out
    assert "181.0 ms  receipt from center: committed" in out


def test_the_client_says_where_it_stands_and_ends_with_1(tmp_path, capsys):
    serve_lines(tmp_path / "s", [step("taken", 0), step("committed", 50, "x"), step("timeout", 900)])
    assert show_ping(str(tmp_path / "s"), timeout_seconds=0.9) == 1
    err = capsys.readouterr().err
    assert "stands at: committed" in err
    assert "no broker is connected" in err


def test_no_agent_ends_with_2(tmp_path):
    assert show_ping(str(tmp_path / "none"), timeout_seconds=1) == 2
