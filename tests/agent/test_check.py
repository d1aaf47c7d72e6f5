"""`edgepost check` on files with mistakes: one folder each in `testdata/mistakes`, what it prints in `expected.txt`."""

import os
from pathlib import Path

import pytest

from agent.check import check
from agent.cli import main
from agent.settings import load

CASES = sorted((Path(__file__).parent / "testdata" / "mistakes").iterdir())
VALID = """\
version: 1
agent: web-1
site: hue
forward:
  brokers:
    - url: mqtts://broker.hue.example:8883
collectors:
  - collector: syslog
    listeners:
      - bind: udp://[::]:514
        zone: Asia/Ho_Chi_Minh
"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_mistake_is_printed_with_place_line_caret_and_remedy(case, monkeypatch, capsys):
    monkeypatch.chdir(case)
    code = check("agent.yaml", env={})
    assert ((case / "expected.txt").read_text(encoding="utf-8"), 78) == (capsys.readouterr().out, code)


def test_there_are_cases_enough_to_mean_something():
    assert len(CASES) >= 70


def test_a_file_with_everything_wrong_is_answered_in_one_run():
    (case,) = [case for case in CASES if case.name == "forty-at-once"]
    expected = (case / "expected.txt").read_text(encoding="utf-8")
    assert expected.count("\n    -> ") >= 40
    assert "geheim" not in expected, "the password that stands there is not shown"


@pytest.mark.parametrize("size", [(1 << 20) + 1, 2 << 20])
def test_a_file_that_is_too_large_is_said_to_be(tmp_path, capsys, size):
    path = tmp_path / "agent.yaml"
    path.write_bytes(b"# a line\n" * (size // 9 + 1))
    assert 78 == check(str(path), env={})
    assert capsys.readouterr().out.startswith(f"{path}:1:1: the file is larger than 1048576 bytes\n")


def test_a_file_without_end_is_not_read_to_its_end(capsys):
    assert 78 == check("/dev/zero", env={})
    assert "the file is larger than" in capsys.readouterr().out


@pytest.fixture
def run_check(tmp_path, capsys):
    def run_check(text: str, mode: int = 0o600) -> tuple[int, list[str]]:
        path = tmp_path / "agent.yaml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        code = check(str(path), env={"STATE_DIRECTORY": "/var/lib/edgepost"})
        return code, capsys.readouterr().out.replace(str(tmp_path) + "/", "").splitlines()

    return run_check


def test_a_valid_file_is_summed_up(run_check):
    summary = [
        "agent web-1 at site hue, buffer in /var/lib/edgepost",
        "collects syslog as syslog",
        "forwards to mqtts://broker.hue.example:8883; custody ends when center confirmed",
        "agent.yaml: ok",
    ]
    assert (0, summary) == run_check(VALID)


def test_each_rule_is_summed_up_and_a_drop_of_errors_is_a_warning(run_check):
    rules = "rules:\n  - {name: no-cron, do: drop, where: {app_name: cron}}\n"
    code, lines = run_check(VALID.replace("collectors:\n", rules + "collectors:\n"))
    assert (0, "agent.yaml: ok, 1 to look at") == (code, lines[-1])
    assert "rule no-cron: drops rows of syslog where app_name is cron" in lines
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert warning.startswith("warning: rule no-cron: may drop rows of severity emerg, alert, crit, err;")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("        zone: Asia/Ho_Chi_Minh\n", ""), "warning: syslog: udp://[::]:514: a time that names no zone"),
        (("mqtts://broker.hue.example:8883", "mqtt://10.0.0.7"), "warning: mqtt://10.0.0.7: without TLS"),
        (
            ("forward:\n", "forward:\n  confirm: [broker]\n"),
            "warning: forward.confirm: [broker]: what the broker loses",
        ),
        ((VALID[VALID.index("collectors") :], ""), "warning: no collectors: only what the agent says about itself"),
    ],
)
def test_what_is_valid_and_may_not_be_meant_is_a_warning(run_check, change, expected):
    code, lines = run_check(VALID.replace(*change))
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert warning.startswith(expected)
    assert (0, "agent.yaml: ok, 1 to look at") == (code, lines[-1])


def test_a_broker_on_this_machine_needs_no_tls(run_check):
    assert "agent.yaml: ok" == run_check(VALID.replace("mqtts://broker.hue.example:8883", "mqtt://[::1]:1883"))[1][-1]


SECRET = ("    - url", "    - password: hunter2\n      url")


def test_a_secret_that_everybody_may_read_is_a_warning(run_check):
    code, lines = run_check(VALID.replace(*SECRET), mode=0o644)
    assert 0 == code
    assert any("everybody may read it, and it holds a secret" in line for line in lines)
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize("value", ["null", "~", "${STATE_DIRECTORY}"])
def test_no_secret_or_one_from_the_environment_is_no_warning(run_check, value):
    text = VALID.replace(*SECRET).replace("hunter2", value)
    assert "agent.yaml: ok" == run_check(text, mode=0o644)[1][-1]


PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
WITH_KEY = VALID.replace(":8883\n", ":8883\n      cert_file: own.pem\n      key_file: own.key\n")


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """A file that names a certificate and a key beside it."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("agent.yaml", WITH_KEY), ("own.pem", PEM), ("own.key", PEM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o640)
    tmp_path.chmod(0o755)
    return tmp_path


def test_a_key_that_everybody_may_read_is_a_warning(certified, capsys):
    (certified / "own.key").chmod(0o644)
    assert 0 == check("agent.yaml", env={})
    assert "warning: own.key: everybody may read this key; chmod o= it" in capsys.readouterr().out


def test_a_key_that_we_may_not_read_is_a_mistake(certified, capsys):
    (certified / "agent.yaml").chmod(0o644)
    (certified / "own.pem").chmod(0o644)
    before = os.geteuid()
    (certified / "own.key").chmod(0o600 if before == 0 else 0)
    if before == 0:  # whom nothing stops from reading
        os.seteuid(65_534)
    try:
        assert 78 == check("agent.yaml", env={})
    finally:
        os.seteuid(before)
    first, line, caret, remedy = capsys.readouterr().out.splitlines()
    assert "agent.yaml:8:17: key_file: own.key cannot be read: Permission denied" == first
    assert line[caret.index("^") :] == "own.key"
    assert "    -> check the path, and that the user of edgepost may read it" == remedy


def test_files_are_looked_for_where_systemd_puts_credentials(certified, capsys):
    folder = certified / "credentials"
    folder.mkdir()
    for name in ("own.pem", "own.key"):
        (certified / name).rename(folder / name)
    assert 78 == check("agent.yaml", env={})
    assert 0 == check("agent.yaml", env={"CREDENTIALS_DIRECTORY": str(folder)})
    loaded = load(certified / "agent.yaml", env={"CREDENTIALS_DIRECTORY": str(folder)})
    assert str(folder / "own.key") == loaded.forward.brokers[0].key_file


def test_a_missing_certificate_does_not_keep_an_agent_from_starting(certified):
    """It collects and keeps; that it cannot connect is a state, which ends when the file is there."""
    (certified / "own.pem").unlink()
    loaded = load(certified / "agent.yaml", env={})
    assert str(certified / "own.pem") == loaded.forward.brokers[0].cert_file


def test_the_command_gives_the_exit_code_and_counts_the_mistakes(tmp_path, capsys):
    path = tmp_path / "agent.yaml"
    path.write_text("version: 1\nagent: a\n", encoding="utf-8")
    assert 78 == main(["check", str(path)])
    assert capsys.readouterr().err.endswith("agent.yaml: 2 mistakes\n")
    assert 78 == main(["check", str(tmp_path / "gone.yaml")])


def test_files_of_a_listener_that_cannot_be_used_are_warnings_they_are_states_of_a_running_agent(run_check):
    tls = "      - bind: tls://[::]:6514\n        zone: UTC\n        cert_file: gone.pem\n        key_file: gone.key\n"
    code, lines = run_check(VALID + tls)
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert (0, "agent.yaml: ok, 1 to look at") == (code, lines[-1])
    assert warning.startswith(
        "warning: syslog: tls://[::]:6514: cert_file gone.pem cannot be read: No such file or directory; check the path"
    )
