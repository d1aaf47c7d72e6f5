"""`edgepost check` on files with mistakes: one folder each in `testdata/mistakes`, what it prints in `expected.txt`."""

from pathlib import Path

import pytest

from agent.check import check
from agent.cli import main

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
    assert len(CASES) >= 50


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
