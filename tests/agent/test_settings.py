import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml as pyyaml

import agent
import center
from agent import settings
from agent.settings import Settings
from center import settings as center_settings
from collectors.registry import COLLECTORS
from wire.yaml import ConfigError
from wire.yaml.schema import descriptions, structs_of

TREE = Path(__file__).resolve().parents[2]
CONFIG = TREE / "config"
UNLIKE_DEFAULT = {"state_dir", "socket", "collectors"}  # filled in when loaded; shown with what ships
WHOLES = {"agent.yaml": Settings, "center.yaml": center_settings.Settings}


def read(path: Path, text: str, **env: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return settings.load(path, env=env)


MINIMAL = "version: 1\nagent: a\nsite: s\nforward: {brokers: [{url: 'mqtt://h'}]}\n"


def plain(struct: Any) -> Any:
    return msgspec.to_builtins(struct, enc_hook=str)


@pytest.mark.parametrize("name", WHOLES)
def test_the_shipped_file_shows_the_default_of_every_option(name):
    load = settings.load if name == "agent.yaml" else center_settings.load
    loaded = load(CONFIG / name, env={})
    for struct in _instances(loaded):
        for field in msgspec.structs.fields(struct):
            if not field.required and field.encode_name not in UNLIKE_DEFAULT:
                default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
                assert default == getattr(struct, field.name), f"{type(struct).__name__}.{field.name}"


def _instances(value: Any) -> list[Any]:
    if isinstance(value, msgspec.Struct):
        inner = [_instances(getattr(value, field)) for field in value.__struct_fields__]
        return [value, *(found for each in inner for found in each)]
    if isinstance(value, tuple):
        return [found for each in value for found in _instances(each)]
    return []


@pytest.mark.parametrize("name", WHOLES)
def test_the_shipped_file_names_every_option(name):
    text = (CONFIG / name).read_text(encoding="utf-8")
    keys = set(re.findall(r"^(?:# {3})?[\s-]*([a-z_]+):", text, re.MULTILINE))  # what is commented out shows a form
    options = {field for struct in structs_of(WHOLES[name]) for field in struct.__struct_fields__}
    assert set() == options - keys


def test_the_shipped_file_has_a_section_for_every_collector():
    loaded = settings.load(CONFIG / "agent.yaml", env={})
    assert {collector.config for collector in COLLECTORS} == {type(config) for config in loaded.collectors}


def test_every_default_of_every_collector_is_valid():
    for collector in COLLECTORS:
        default = collector.config()
        assert default == msgspec.convert(plain(default), collector.config)


def test_the_demo_file_loads_with_what_the_demo_sets():
    env = {"EDGEPOST_DEMO_BROKER": "mqtt://127.0.0.1:1883", "EDGEPOST_DEMO_PORT": "5514"}
    loaded = settings.load(CONFIG / "demo.yaml", env=env)
    binds = [listener.bind for listener in loaded.collectors[0].listeners]
    assert ["udp://127.0.0.1:5514", "tcp://127.0.0.1:5514"] == binds
    assert "mqtt://127.0.0.1:1883" == loaded.forward.brokers[0].url


@pytest.mark.parametrize("whole", WHOLES.values(), ids=WHOLES)
def test_every_option_is_described_in_the_docstring_of_its_struct(whole):
    for struct in structs_of(whole):
        assert set(struct.__struct_fields__) == set(descriptions(struct)), struct.__name__


def test_the_shipped_schema_is_current():
    assert settings.schema() == (CONFIG / "schema.json").read_text(encoding="utf-8"), "make schema"


def test_the_schema_is_printed_by_the_module():
    done = subprocess.run([sys.executable, "-m", "agent.settings", "--schema"], capture_output=True, text=True)
    assert (0, "edgepost agent") == (done.returncode, json.loads(done.stdout)["title"])


def test_the_schema_knows_the_file_form_of_a_secret():
    broker = json.loads(settings.schema())["$defs"]["Broker"]["properties"]
    assert {"password", "password_file"} <= set(broker)


def test_places_come_from_the_file_then_from_systemd_then_from_the_standard(tmp_path):
    path = tmp_path / "agent.yaml"
    given = read(path, MINIMAL + "state_dir: /a\nsocket: /b\n", STATE_DIRECTORY="/c", RUNTIME_DIRECTORY="/d")
    from_systemd = read(path, MINIMAL, STATE_DIRECTORY="/c:/e", RUNTIME_DIRECTORY="/d:/f")
    standard = read(path, MINIMAL)
    places = [(one.state_dir, one.socket) for one in (given, from_systemd, standard)]
    assert [
        ("/a", "/b"),
        ("/c", "/d/status.sock"),
        ("/var/lib/edgepost", "/run/edgepost/status.sock"),
    ] == places


def test_a_client_looks_for_the_socket_where_the_environment_says():
    assert "/x" == settings.socket_path({"EDGEPOST_SOCKET": "/x", "RUNTIME_DIRECTORY": "/d"})
    assert "/d/status.sock" == settings.socket_path({"RUNTIME_DIRECTORY": "/d"})
    assert "/run/edgepost/status.sock" == settings.socket_path({})


def test_an_overlay_changes_one_collector_and_keeps_the_rest(tmp_path):
    (tmp_path / "base.yaml").write_text((CONFIG / "agent.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    text = "include: [base.yaml]\nagent: web-7\ncollectors:\n  - name: syslog\n    urgent_rows_per_second: 7\n"
    loaded = read(tmp_path / "agent.yaml", text)
    base = settings.load(CONFIG / "agent.yaml", env={})
    assert ("web-7", base.site, 7) == (loaded.agent, loaded.site, loaded.collectors[0].urgent_rows_per_second)
    assert base.collectors[0].listeners == loaded.collectors[0].listeners
    assert base.forward == loaded.forward


def test_a_password_never_shows_in_what_settings_print(tmp_path):
    text = MINIMAL.replace("'mqtt://h'", "'mqtt://h', password: hunter2")
    loaded = read(tmp_path / "agent.yaml", text)
    assert "hunter2" == loaded.forward.brokers[0].password.reveal()
    assert "hunter2" not in repr(loaded)


def test_a_receiver_refuses_what_an_agent_understands(tmp_path):
    (tmp_path / "center.yaml").write_text(MINIMAL, encoding="utf-8")
    with pytest.raises(ConfigError, match='there is no "agent" here'):
        center_settings.load(tmp_path / "center.yaml", env={})


def test_the_installed_package_brings_the_shipped_files():
    installed = Path(agent.__file__).parent / "_config"
    if Path(agent.__file__).resolve().parents[1] == TREE:
        pytest.skip("the tree itself is tested; make test tests the wheel")
    shipped = {path.relative_to(CONFIG) for path in CONFIG.rglob("*") if path.is_file()}
    assert shipped == {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert Path(center.__file__).exists()


@pytest.mark.parametrize("name", ["agent.yaml", "center.yaml", "demo.yaml"])
def test_shipped_files_mean_the_same_to_another_yaml_library(name):
    assert 1 == pyyaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))["version"]
