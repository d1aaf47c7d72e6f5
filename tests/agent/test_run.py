"""The agent's life in a process of its own: how it ends when a bug is met, and what a stop still tells."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from parts.brokers import free_port
from parts.site import until

from agent.ask import NoAgent, ask_once
from agent.buffer import Buffer, BufferSettings, Origin
from wire.batch import Batch, Hop, decode_rows
from wire.head import decode_head


def configured(folder, *, receive_buffer_bytes: int = 8 << 20):
    """Write a configuration with one UDP listener and a broker that is not there."""
    listener = {"bind": f"udp://127.0.0.1:{free_port()}", "receive_buffer_bytes": receive_buffer_bytes}
    settings = {
        "version": 1,
        "agent": "gw-1",
        "site": "lab",
        "state_dir": str(folder / "state"),
        "socket": str(folder / "s"),
        "forward": {"brokers": [{"url": "mqtt://127.0.0.1:1"}]},
        "collectors": [{"collector": "syslog", "listeners": [listener]}],
    }
    (folder / "agent.yaml").write_text(json.dumps(settings))
    return int(listener["bind"].rpartition(":")[2])


@contextmanager
def running(folder, *, before: str = ""):
    """Run the agent; `before` is Python that is run first in its process."""
    script = f"import sys\n{before}\nfrom agent.cli import main\nsys.exit(main(['run', 'agent.yaml']))"
    path = os.pathsep.join(filter(None, sys.path))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def agent_rows(folder) -> list[list]:
    """The rows of the stream `agent` that a store holds."""
    buffer = await Buffer.open(folder / "state", origin=Origin("gw-1", "lab", bytes(16)), settings=BufferSettings())
    rows, after = [], 0
    while found := await buffer.read(0, after=after, limit_bytes=1 << 20):
        for held in found:
            head = decode_head(held.head)
            rows += decode_rows(Batch(Hop("gw-1", 2, (), 1, 0), held.digest, held.head, held.body, head))
        after = found[-1].key
    await buffer.close()
    return [list(row) for row in rows]


@pytest.mark.parametrize(
    "broken",
    [
        "import agent.buffer.keeper as one; one.Keeper.open = lambda self: 1 / 0",
        "import agent.intake as one; one.Intake.__init__ = lambda *_, **__: 1 / 0",
        "import agent.report as one; one.Pulse.run = lambda self: 1 / 0",
    ],
    ids=["opening the buffer", "before anything runs", "while it runs"],
)
def test_a_bug_ends_the_agent_with_70_and_its_trace_wherever_it_is(tmp_path, broken):
    configured(tmp_path)
    with running(tmp_path, before=broken) as process:
        assert 70 == process.wait(30), (tmp_path / "log").read_text()
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


async def test_an_agent_on_a_state_directory_that_another_one_holds_ends_with_74(tmp_path):
    configured(tmp_path)
    buffer = await Buffer.open(tmp_path / "state", origin=Origin("gw-1", "lab", bytes(16)), settings=BufferSettings())
    with running(tmp_path) as process:
        assert 74 == process.wait(30)
    await buffer.close()
    assert f"held by another agent (pid {os.getpid()})" in (tmp_path / "log").read_text()


async def test_what_the_kernel_dropped_just_before_a_stop_is_declared_and_accounted_for(tmp_path):
    port = configured(tmp_path, receive_buffer_bytes=4_096)

    def counted() -> int:
        try:
            facts = ask_once(str(tmp_path / "s"), {"verb": "status"})
        except NoAgent:
            return 0
        return int(facts["collectors"][0].get("drops", {}).get("kernel", 0))

    def pour() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(2_000):
                out.sendto(b"<13>Oct 11 22:14:15 host su: " + b"x" * 1_000, ("127.0.0.1", port))
        return counted()

    with running(tmp_path) as process:
        await until(pour, seconds=30, what="the kernel drops")
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(30), (tmp_path / "log").read_text()
    rows = await agent_rows(tmp_path)
    declared = sum(row[5]["rows"] for row in rows if row[2] == "dropped" and row[5]["reason"] == "kernel")
    buffer = await Buffer.open(tmp_path / "state", origin=Origin("gw-1", "lab", bytes(16)), settings=BufferSettings())
    account = {entry["what"]: entry["rows"] for entry in buffer.facts()["account"] if entry["stream"] == "syslog"}
    await buffer.close()
    assert 0 < declared == account["dropped:kernel"]
    assert ["started", "dropped", "stopped"] == [row[2] for row in rows if row[2] in {"started", "dropped", "stopped"}]
