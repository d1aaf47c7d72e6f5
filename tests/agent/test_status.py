"""The status socket with real clients, and the facts of real parts."""

import asyncio
import json
import os
import random
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from parts import facts as fixtures
from parts.agents import parts

from agent import answer as server
from agent.answer import answer
from agent.ask import NoAgent, ask_once, socket_path
from agent.forward import ForwardSettings
from agent.health import find_problems, verdict
from agent.losses import WINDOW, Loss, RecentLosses, count_losses
from agent.reasons import OF_COLLECTING, OF_CUSTODY, of_custody
from agent.run import run
from agent.screen import draw
from agent.settings import Settings
from agent.status import serve_status
from agent.supervise import Supervisor
from collectors.registry import COLLECTORS
from collectors.syslog.reasons import REASONS
from wire.client import Broker


async def echo(request):
    yield json.dumps({"heard": request}).encode()


async def until_cancelled(_):
    yield b"{}"
    await asyncio.Event().wait()


async def buggy(_):
    yield b"{}"
    raise ZeroDivisionError("a bug")


async def endless(_):
    while True:
        yield b"x" * 10_000


KERNEL, EMPTY, REFUSED = (
    next(reason for reason in REASONS if reason.name == name) for name in ("kernel", "empty", "connection-limit")
)
VERBS = {"echo": echo, "wait": until_cancelled, "bug": buggy, "endless": endless}


@asynccontextmanager
async def serving(path: Path, verbs=VERBS, supervisor=None) -> AsyncIterator[Path]:
    task = asyncio.create_task(answer(path, verbs, guard=(supervisor or Supervisor()).once))
    await listening(path)
    try:
        yield path
    finally:
        task.cancel()
        await asyncio.wait([task])


async def listening(path: Path) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def say(path: Path, line: bytes) -> dict:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    async with asyncio.timeout(10):
        answer_line = await reader.readline()
    writer.close()
    return json.loads(answer_line)


async def test_a_request_gets_its_answer(tmp_path):
    async with serving(tmp_path / "s") as path:
        assert await asyncio.to_thread(ask_once, str(path), {"verb": "echo", "a": 1}) == {
            "heard": {"verb": "echo", "a": 1}
        }


async def test_the_socket_is_for_owner_and_group_only_and_goes_with_the_agent(tmp_path):
    async with serving(tmp_path / "s") as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.exists()


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"verb": "kill"}\n', b"\xff\x00\n", b'{"verb": ' + b"[" * 4000 + b"\n", b"null\n"]
)
async def test_what_is_no_request_is_refused(tmp_path, line):
    async with serving(tmp_path / "s") as path:
        assert "error" in await say(path, line)
        assert await say(path, b'{"verb": "echo"}\n') == {"heard": {"verb": "echo"}}


async def test_a_request_beyond_four_kib_is_refused(tmp_path):
    async with serving(tmp_path / "s") as path:
        assert "longer" in (await say(path, b'{"verb": "echo", "a": "' + b"x" * 5000 + b'"}\n'))["error"]


async def test_a_client_that_says_nothing_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    async with serving(tmp_path / "s") as path:
        assert "no request" in (await say(path, b'{"verb"'))["error"]


async def test_the_seventeenth_client_is_refused_until_another_goes(tmp_path):
    async with serving(tmp_path / "s") as path:
        waiting = []
        for _ in range(server.MAX_CLIENTS):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"verb": "wait"}\n')
            assert await reader.readline() == b"{}\n"
            waiting.append(writer)
        assert "16 clients" in (await say(path, b'{"verb": "echo"}\n'))["error"]


async def test_the_place_of_a_client_that_goes_is_free_again(tmp_path):
    async with serving(tmp_path / "s") as path:
        for _ in range(3 * server.MAX_CLIENTS):
            assert "heard" in await say(path, b'{"verb": "echo"}\n')


async def test_a_client_that_reads_nothing_is_let_go_and_its_place_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.05)
    async with serving(tmp_path / "s") as path:
        for _ in range(server.MAX_CLIENTS):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path))
            client.sendall(b'{"verb": "endless"}\n')
        async with asyncio.timeout(10):
            while "error" in await say(path, b'{"verb": "echo"}\n'):
                await asyncio.sleep(0.01)


async def test_random_bytes_end_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    draw = random.Random(8)
    async with serving(tmp_path / "s") as path:
        for size in (0, 1, 50, 4095, 4096, 4097, 300_000):
            for end in (b"", b"\n"):
                _, writer = await asyncio.open_unix_connection(path)
                writer.write(draw.choice((b"", b'{"verb": "echo"')) + draw.randbytes(size) + end)
                writer.close()
        async with asyncio.timeout(10):
            while "heard" not in await say(path, b'{"verb": "echo"}\n'):
                await asyncio.sleep(0.01)


async def test_a_bug_costs_its_asker_the_answer_and_is_said_and_counted(tmp_path, caplog):
    supervisor = Supervisor()
    async with serving(tmp_path / "s", supervisor=supervisor) as path:
        reader, _ = await asyncio.open_unix_connection(path)
        for _ in range(3):
            one, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"verb": "bug"}\n')
            async with asyncio.timeout(10):
                assert await one.read() == b"{}\n"
        assert "heard" in await say(path, b'{"verb": "echo"}\n')
    life = supervisor.facts()["status client"]
    assert (life["failures"], life["error"]) == (3, "ZeroDivisionError: a bug")
    assert caplog.text.count("Traceback") == 1
    del reader


async def test_a_bug_in_a_verb_ends_no_agent_and_is_a_problem_in_its_status(tmp_path, monkeypatch):
    settings = Settings(
        version=1,
        agent="test",
        site="lab",
        state_dir=str(tmp_path / "state"),
        socket=str(tmp_path / "s"),
        forward=ForwardSettings(brokers=(Broker(url="mqtt://127.0.0.1:1"),)),
    )
    stop = asyncio.Event()
    living = asyncio.create_task(run(settings, stop=stop))
    await listening(tmp_path / "s")
    with monkeypatch.context() as broken:
        broken.setattr("agent.intake.Intake.subscribe", lambda *_, **__: 1 // 0)
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"verb": "tail"}\n')
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    assert not living.done()
    facts = await say(tmp_path / "s", b'{"verb": "status"}\n')
    assert facts["socket"]["clients"]["failures"] == 1
    (problem,) = (one for one in facts["problems"] if one["where"] == "socket")
    assert "ZeroDivisionError" in problem["what"]
    stop.set()
    await asyncio.wait_for(living, 20)


async def test_a_bug_of_the_socket_itself_ends_no_agent(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("agent.supervise.BACKOFF_SECONDS", (0.01, 0.01))
    supervisor = Supervisor()
    serve_twice = iter([lambda: 1 // 0, lambda: None])

    async def start():
        next(serve_twice)()
        await asyncio.Event().wait()

    kept = asyncio.create_task(supervisor.keep("status socket", start))
    async with asyncio.timeout(10):
        while supervisor.facts().get("status socket", {}).get("restarts") != 1:
            await asyncio.sleep(0.01)
        while supervisor.facts()["status socket"]["state"] != "running":
            await asyncio.sleep(0.01)
    kept.cancel()
    await asyncio.wait([kept])
    assert "ZeroDivisionError" in caplog.text


async def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    async with serving(tmp_path / "s") as path:
        assert "heard" in await say(path, b'{"verb": "echo"}\n')


async def test_where_another_agent_answers_is_a_state_and_its_socket_stays(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(server, "RETRY_SECONDS", 0.01)
    async with serving(tmp_path / "s") as path:
        second = asyncio.create_task(answer(path, {}, guard=Supervisor().once))
        async with asyncio.timeout(5):
            while "another agent answers" not in caplog.text:
                await asyncio.sleep(0.01)
        assert not second.done()
        assert "heard" in await say(path, b'{"verb": "echo"}\n')
        second.cancel()
        await asyncio.wait([second])
        assert path.exists()
    assert caplog.text.count("another agent answers") == 1


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path, caplog):
    (tmp_path / "s").write_text("precious")
    task = asyncio.create_task(answer(tmp_path / "s", VERBS, guard=Supervisor().once))
    async with asyncio.timeout(5):
        while "is no socket" not in caplog.text:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert (tmp_path / "s").read_text() == "precious"


def test_no_agent_is_said_with_its_place_and_what_to_do(tmp_path):
    with pytest.raises(NoAgent) as absent:
        ask_once(str(tmp_path / "none"), {"verb": "status"})
    assert str(tmp_path / "none") in str(absent.value)
    assert "systemctl status edgepost" in absent.value.remedy


def test_the_socket_is_looked_for_in_four_places(monkeypatch):
    monkeypatch.delenv("EDGEPOST_SOCKET", raising=False)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert socket_path(None) == "/run/edgepost/status.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
    assert socket_path(None) == "/run/a/status.sock"
    monkeypatch.setenv("EDGEPOST_SOCKET", "/x")
    assert socket_path(None) == "/x"
    assert socket_path("/given") == "/given"


async def test_an_agents_facts_travel_the_socket_and_can_be_drawn(tmp_path):
    async with parts(tmp_path) as agent:
        serve = asyncio.create_task(serve_status(tmp_path / "status.sock", agent))
        await listening(tmp_path / "status.sock")
        facts = await asyncio.to_thread(ask_once, str(tmp_path / "status.sock"), {"verb": "status"})
        serve.cancel()
        await asyncio.wait([serve])
    assert facts["pid"] == os.getpid()
    assert facts["health"] == "down"
    assert [one["name"] for one in facts["collectors"]] == ["syslog"]
    assert "DOWN" in draw(facts)


def test_an_agent_without_problems_is_healthy():
    assert verdict(find_problems(fixtures.healthy(), {})) == "healthy"


def test_any_problem_is_degraded_and_has_a_sentence():
    problems = find_problems(fixtures.degraded(), [Loss("syslog", KERNEL, 3)])
    assert verdict(problems) == "degraded"
    assert all(problem["what"].endswith(".") and problem["where"] and problem["remedy"] for problem in problems)


def test_no_collector_is_down():
    facts = fixtures.healthy()
    facts["collectors"][0]["state"] = "restarting"
    assert verdict(find_problems(facts, {})) == "down"


def test_a_collector_whose_every_listener_failed_takes_nothing():
    facts = fixtures.healthy()
    for listener in facts["collectors"][0]["report"]["listeners"]:
        listener.update(state="failed", problem="the port is taken")
    assert verdict(find_problems(facts, {})) == "down"


def test_what_is_counted_without_loss_is_no_problem():
    assert count_losses([Loss("syslog", EMPTY, 4)], []) == {}


def test_a_loss_is_told_in_its_own_unit():
    problems = find_problems(fixtures.healthy(), [Loss("syslog", KERNEL, 1_203), Loss("syslog", REFUSED, 1)])
    assert [
        "Data was lost in the last 10 minutes: 1,203 datagrams, kernel.",
        "Data was lost in the last 10 minutes: 1 connection, connection-limit.",
    ] == [problem["what"] for problem in problems]


def test_rows_that_a_collector_lost_are_its_own_and_count_once_though_the_account_has_them_too():
    account = [
        {"origin": "a", "stream": "syslog", "what": what, "rows": rows, "bytes": 0}
        for what, rows in (("dropped:kernel", 9), ("dropped:rot", 2), ("dropped:rejected-limit", 3), ("received", 99))
    ]
    losses = count_losses([Loss("syslog", KERNEL, 5), Loss("syslog", EMPTY, 4)], account)
    assert {("syslog", "kernel"): 5, ("buffer", "rot"): 2, ("buffer", "rejected-limit"): 3} == {
        place: loss.amount for place, loss in losses.items()
    }


def test_every_loss_has_a_remedy():
    declared = [*OF_COLLECTING, *OF_CUSTODY, *(reason for one in COLLECTORS for reason in one.reasons)]
    assert [] == [reason.name for reason in declared if reason.is_loss and not reason.remedy]
    assert of_custody("rejected-of-tomorrow").remedy


def test_neither_disk_nor_broker_is_down_but_one_of_them_is_degraded():
    facts = fixtures.healthy()
    facts["buffer"]["state"] = "full"
    assert verdict(find_problems(facts, {})) == "degraded"
    facts["forward"]["state"] = "not connected"
    assert verdict(find_problems(facts, {})) == "down"
    facts["buffer"]["state"] = "ok"
    assert verdict(find_problems(facts, {})) == "degraded"


def test_a_bug_of_the_socket_is_a_problem_for_ten_minutes():
    facts = fixtures.healthy()
    life = {"failures": 2, "error": "KeyError: 1", "failed_ns": facts["now_ns"] - 599 * 10**9}
    facts["socket"] = {"restarts": 1, "error": "KeyError: 2", "failed_ns": life["failed_ns"], "clients": life}
    assert ["socket", "socket"] == [problem["where"] for problem in find_problems(facts, {})]
    facts["now_ns"] += 2 * 10**9
    assert [] == find_problems(facts, {})


def test_a_loss_is_a_problem_only_while_it_is_recent():
    counted = [Loss("syslog", KERNEL, 5)]
    recent = RecentLosses(lambda: count_losses(counted, []))
    assert recent.now() == []
    counted[0] = Loss("syslog", KERNEL, 9)
    assert recent.now() == [Loss("syslog", KERNEL, 4)]
    for _ in range(WINDOW):
        recent._history.append(count_losses(counted, []))
    assert recent.now() == []
