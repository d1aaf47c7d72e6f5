"""`edgepost-center` as a person runs it: flags, YAML, exit codes, the ledger of a running and of a stopped receiver."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from parts.brokers import free_port, mosquitto
from parts.center import batch, hear, new_epoch, outcomes, state
from parts.center import committing as opened
from parts.sender import sender
from parts.site import Child, until

from center.cli import main
from wire import topics
from wire.state import State, encode_state

SECONDS = 30


def edgepost_center(*arguments, **options):
    """Run it to its end."""
    command = [sys.executable, "-m", "center.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, **options)


def answers(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@asynccontextmanager
async def receiving(folder, *flags, url=None):
    """A receiver as a child process, whose socket is there."""
    folder.mkdir(exist_ok=True)
    broker = url or f"mqtt://127.0.0.1:{free_port()}"
    arguments = ["-m", "center.cli", "receive", "--broker", broker, "--dir", str(folder), *flags]
    child = Child("receiver", arguments, folder / "log.txt")
    child.start()
    try:
        await until(lambda: answers(folder / "center.sock"), seconds=SECONDS, what="the receiver runs", log=child.tail)
        yield child
    finally:
        await child.kill()


# --- the ledger ----------------------------------------------------------------------------------------------------------


async def test_the_ledger_of_a_stopped_receiver_is_read_from_its_folder(tmp_path, capsys):
    async with opened(tmp_path) as commit:
        await outcomes(commit, batch(1), batch(2))
    assert 0 == main(["ledger", str(tmp_path)])
    assert "CLOSED" in capsys.readouterr().out
    assert 0 == main(["ledger", str(tmp_path), "--json"])
    assert 2 == json.loads(capsys.readouterr().out)["spans"][0]["arrived"]


async def test_a_batch_that_is_missing_is_exit_code_1(tmp_path, capsys):
    epoch = new_epoch()
    async with opened(tmp_path) as commit:
        await outcomes(commit, batch(1, epoch=epoch), batch(3, epoch=epoch))
        await hear(commit, state(epoch, (1, 4, 3)))
    assert 1 == main(["ledger", str(tmp_path)])
    assert f"missing of gw-01 {epoch.hex()[:8]} normal: 2-2" in capsys.readouterr().out


async def test_the_ledger_of_a_running_receiver_is_asked_for_at_its_socket(tmp_path):
    async with receiving(tmp_path) as child:
        shown = await asyncio.to_thread(edgepost_center, "ledger", tmp_path, "--json")
        assert 0 == shown.returncode, shown.stderr
        assert {"counts", "problem"} <= json.loads(shown.stdout).keys()
        assert 0 == await child.end(signal.SIGTERM)
    assert 0 == edgepost_center("ledger", tmp_path).returncode


def test_a_folder_that_is_no_receivers_is_74_and_stays_as_it_is(tmp_path, capsys):
    assert 74 == main(["ledger", str(tmp_path)])
    assert "is this the receiver's folder?" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())
    assert 74 == main(["ledger", str(tmp_path / "nowhere")])


def test_a_receive_db_that_is_none_is_74(tmp_path, capsys):
    (tmp_path / "receive.db").write_bytes(os.urandom(4096))
    assert 74 == main(["ledger", str(tmp_path)])
    assert "not a database" in capsys.readouterr().err


def test_a_receiver_that_answers_with_an_error_or_not_at_all_is_74(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("center.cli.ASK_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "center.sock"))
        mute.listen()
        assert 74 == main(["ledger", str(tmp_path)])
    assert "has not answered" in capsys.readouterr().err


async def test_a_memory_that_is_in_use_without_a_socket_is_74(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("center.memory.LOCK_SECONDS", 0.05)
    async with opened(tmp_path):
        assert 74 == main(["ledger", str(tmp_path)])
    assert "does not answer at its socket" in capsys.readouterr().err


# --- the receiver --------------------------------------------------------------------------------------------------------


async def test_a_second_receiver_on_one_folder_ends_with_74_and_says_who_has_it(tmp_path):
    async with receiving(tmp_path) as child:
        second = await asyncio.to_thread(
            edgepost_center, "receive", "--dir", tmp_path, "--broker", "mqtt://127.0.0.1:1"
        )
        assert 74 == second.returncode
        assert f"pid {child.pid}" in second.stderr
        assert 0 == (await asyncio.to_thread(edgepost_center, "ledger", tmp_path)).returncode


async def test_a_killed_receiver_leaves_its_folder_to_the_next(tmp_path):
    async with receiving(tmp_path) as child:
        await child.kill()
    assert 0 == edgepost_center("ledger", tmp_path).returncode
    async with receiving(tmp_path) as child:
        assert 0 == await child.end(signal.SIGTERM)
    assert not (tmp_path / "center.sock").exists()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("sink", ["ndjson", "batches", "stdout"])
async def test_flags_say_everything_a_file_can(tmp_path, sink):
    async with mosquitto(tmp_path / "broker") as broker, sender(broker.url, root="elsewhere") as one:
        flags = ["--root", "elsewhere", "--group", "archive", "--name", "second", "--sink", sink]
        async with receiving(tmp_path / "sink", *flags, url=broker.url) as child:
            await hear_one(one)
            await one.send(one.batch(["a", "b"]))
            (receipt,) = await one.receipts(1)
            assert "committed" == receipt.outcome
            assert 0 == await child.end(signal.SIGTERM)
        written = list((tmp_path / "sink" / "log").glob("*")) if sink != "stdout" else []
        printed = (tmp_path / "sink" / "log.txt").read_text()
    assert (sink != "stdout") == bool(written)
    assert (sink == "stdout") == ('"text":"a"' in printed)
    shown = edgepost_center("ledger", tmp_path / "sink", "--json")
    assert 2 == json.loads(shown.stdout)["rows"][0]["committed"]


async def hear_one(one):
    """Wait until a receiver hears this sender: it answers a state."""
    said = State(online=True, epoch=one.epoch, connection=1)
    await one.client.publish_acked(topics.state(one.root, one.site, one.agent), encode_state(said), retain=True)
    await one.hello()


@pytest.mark.needs("mosquitto")
async def test_a_reader_of_stdout_that_goes_away_ends_the_receiver_and_the_batch_is_sent_again(tmp_path):
    folder = tmp_path / "sink"
    async with mosquitto(tmp_path / "broker") as broker, sender(broker.url) as one:
        command = [sys.executable, "-m", "center.cli", "receive", "--sink", "stdout"]
        command += ["--dir", str(folder), "--broker", broker.url]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            await hear_one(one)
            process.stdout.close()
            await one.send(one.batch(["a"]))
            errors = await asyncio.to_thread(process.stderr.read)
            assert 141 == await asyncio.to_thread(process.wait, SECONDS)
        assert [] == one.got
    assert b"is gone" in errors
    assert b"Traceback" not in errors


def test_a_file_with_mistakes_is_78_and_lists_them(tmp_path):
    (tmp_path / "center.yaml").write_text("version: 1\nbrokers: []\nsinkz: []\n")
    done = edgepost_center("receive", tmp_path / "center.yaml")
    assert 78 == done.returncode
    assert 'did you mean "sinks"' in done.stderr


def test_usage_is_64(tmp_path):
    assert 64 == edgepost_center("receive", "--sink", "paper").returncode
    assert 64 == edgepost_center("ledger").returncode
    assert 64 == edgepost_center("receive", "--name", "No Name", "--dir", tmp_path).returncode


def test_a_memory_of_a_later_version_ends_the_receiver_with_74(tmp_path):
    db = sqlite3.connect(tmp_path / "receive.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    done = edgepost_center("receive", "--dir", tmp_path, "--broker", "mqtt://127.0.0.1:1")
    assert 74 == done.returncode
    assert "format 99" in done.stderr


def test_a_folder_that_cannot_be_made_is_74(tmp_path):
    (tmp_path / "file").write_text("")
    done = edgepost_center("receive", "--dir", tmp_path / "file" / "x", "--broker", "mqtt://127.0.0.1:1")
    assert 74 == done.returncode
    assert "cannot be used" in done.stderr
