"""The command line as a process: exit codes, what it prints, how long it takes."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from agent.cli import main


def edgepost(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sta"],
        ["status", "--jso"],
        ["status", "extra"],
        ["tail", "--where", "x"],
        ["ping", "--timeout", "x"],
        ["run"],
    ],
)
def test_a_usage_error_ends_with_64(arguments, capsys):
    assert main(arguments) == 64
    assert "usage" in capsys.readouterr().err


def test_help_names_every_verb_and_ends_with_0(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert [verb for verb in ("run", "check", "status", "tail", "ping", "parse", "demo") if verb not in out] == []


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("edgepost ")


def test_status_without_an_agent_is_down_in_plain_text(tmp_path):
    done = edgepost("status", EDGEPOST_SOCKET=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "DOWN" in done.stdout
    assert "systemctl status edgepost" in done.stdout
    assert "\x1b" not in done.stdout


def test_ctrl_c_ends_a_watched_status_with_its_last_exit_code_wherever_it_is(tmp_path):
    """An agent that takes the request and never answers: the client is in the middle of asking."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "s"))
        agent.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "status", "--watch", "--socket", str(tmp_path / "s")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = agent.accept()
        with connection:
            assert connection.recv(100)
            process.send_signal(signal.SIGINT)
            assert (b"", b"") == process.communicate(timeout=30)
    assert 2 == process.returncode


def test_status_as_json_is_json_even_without_an_agent(tmp_path):
    done = edgepost("status", "--json", "--socket", str(tmp_path / "none"))
    assert done.returncode == 2
    assert json.loads(done.stdout)["health"] == "down"


def test_tail_and_ping_without_an_agent_say_so_on_stderr(tmp_path):
    for verb in ("tail", "ping"):
        done = edgepost(verb, "--socket", str(tmp_path / "none"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "no agent answers" in done.stderr


def test_status_imports_nothing_heavy():
    script = "import sys; from agent.cli import main; main(['status']); print(sorted({'asyncio','msgspec','yaml','aiomqtt','zstandard','psutil'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_crash():
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(10)
