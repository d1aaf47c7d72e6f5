import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import yaml
from wire.secret import Secret
from wire.yaml import ConfigError, Name


class Login(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    password: Secret | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        if self.user == "root":
            raise ValueError("the user must not be root; make one of its own")


class Udp(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="udp"):
    name: str = "udp"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 514


class Tcp(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tcp"):
    name: str = "tcp"
    idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class Top(msgspec.Struct, frozen=True, kw_only=True):
    include: tuple[str, ...] = ()
    site: Name = "site-1"
    limit_bytes: int = 1
    is_on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    words: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=3)] = ("a",)
    login: Login | None = None
    sources: tuple[Udp | Tcp, ...] = ()
    counts: dict[str, int] = {}
    free: Any = None
    size: int | str = 0
    key_file: Annotated[str, msgspec.Meta(extra={"is_file": True})] | None = None


@pytest.fixture
def read(tmp_path):
    def read(text: str, **env: str) -> Top:
        (tmp_path / "top.yaml").write_text(text, encoding="utf-8")
        return yaml.load(tmp_path / "top.yaml", Top, env=env)

    return read


@pytest.fixture
def mistakes(read):
    def mistakes(text: str, **env: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **env)
        return [f"{one.line}:{one.column} {one.text} -> {one.remedy}" for one in caught.value.mistakes]

    return mistakes


def test_values_are_read_as_the_type_their_key_has(read):
    top = read("login: {user: 0514}\nlimit_bytes: 0514\nwords: [NO, 1:30, true]\nsize: 5\n")
    assert ("0514", 514, ("NO", "1:30", "true"), 5) == (top.login.user, top.limit_bytes, top.words, top.size)


def test_a_union_of_plain_types_goes_by_what_the_value_looks_like(read):
    assert (5, "5", "x") == (read("size: 5\n").size, read("size: '5'\n").size, read("size: x\n").size)


def test_an_integer_is_a_number_where_a_float_is_asked_for(read):
    assert 5.0 == read("sources: [{kind: tcp, idle_seconds: 5}]\n").sources[0].idle_seconds


def test_entries_are_chosen_by_their_tag(read):
    assert (Udp(port=5514), Tcp()) == read("sources: [{kind: udp, port: 5514}, {kind: tcp}]\n").sources


def test_a_key_with_everything_below_it_commented_out_is_empty(read):
    top = read("counts:\n  # a: 1\nsources:\nlogin:\n")
    assert ({}, (), None) == (top.counts, top.sources, top.login)


def test_a_free_form_keeps_its_shape(read):
    assert {"a": [1, "1", None, True, {"b": "c"}]} == read("free: {a: [1, '1', ~, true, {b: '${X}'}]}\n", X="c").free


def test_environment_fills_values_and_never_makes_structure(read):
    top = read("words: ['${A}']\nlimit_bytes: ${N}\n", A="x]\nis_on: true", N="7")
    assert (("x]\nis_on: true",), 7, False) == (top.words, top.limit_bytes, top.is_on)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sit: a\n", '1:1 there is no "sit" here -> did you mean "site"?'),
        ("password: a\n", '1:1 there is no "password" here -> "password" belongs under `login`'),
        (
            "zzz: 1\n",
            '1:1 there is no "zzz" here -> known here: include, site, limit_bytes, is_on, mode, words, login,',
        ),
        ("limit_bytes: 2GiB\n", '1:14 limit_bytes is a whole number, not "2GiB" -> write 2147483648: the unit stands'),
        ("limit_bytes: '5'\n", '1:14 limit_bytes is a whole number, not "5" -> write 5, without quotes'),
        ("limit_bytes: 5.5\n", "1:14 limit_bytes is a whole number, not 5.5 -> write a whole number"),
        ("limit_bytes: true\n", "1:14 limit_bytes is a whole number, not true -> write digits"),
        ("limit_bytes: 99999999999999999999\n", "1:14 limit_bytes cannot be 99999999999999999999 -> no setting is"),
        ("limit_bytes:\n", "1:13 limit_bytes has no value -> write `limit_bytes: NUMBER`"),
        ("limit_bytes: [1]\n", "1:14 limit_bytes is one value, not a list -> write `limit_bytes: VALUE`"),
        ("sources: [{kind: tcp, idle_seconds: 1e999}]\n", "1:37 idle_seconds cannot be 1e999 -> no setting is that"),
        ("sources: [{kind: tcp, idle_seconds: 10m}]\n", '1:37 idle_seconds is a number, not "10m" -> write 600:'),
        ("sources: [{kind: tcp, idle_seconds: 0}]\n", "1:37 idle_seconds cannot be 0 -> more than 0"),
        ("sources: [{kind: udp, port: 0}]\n", "1:29 port cannot be 0 -> at least 1"),
        ("sources: [{kind: udp, port: 65536}]\n", "1:29 port cannot be 65536 -> at most 65535"),
        ("sources: [{kind: upd}]\n", '1:18 there is no kind "upd" -> did you mean "udp"?'),
        (
            "sources: [{port: 1}]\n",
            "1:11 an entry of sources does not say what it is -> begin it with `kind:` and one",
        ),
        ("sources: [udp]\n", "1:11 an entry of sources does not say what it is -> begin it with `kind:` and one"),
        ("sources: [{kind: tcp, name: A}]\n", '1:29 name cannot be "A" -> 1 to 63 of a-z'),
        ("is_on: yes\n", '1:8 is_on is true or false, not "yes" -> write true or false'),
        ("mode: fsat\n", '1:7 mode cannot be "fsat" -> did you mean "fast"?'),
        ("mode: quick\n", '1:7 mode cannot be "quick" -> one of: fast, slow'),
        ("site: Hue\n", '1:7 site cannot be "Hue" -> 1 to 63 of a-z, 0-9 and -'),
        ('site: "hue\\n"\n', '1:7 site cannot be "hue'),
        ("words: a\n", '1:8 words is a list, not "a" -> write `words: [a]`'),
        ("words: {a: b}\n", "1:8 words is a list, not keys with values -> begin each entry with `- `"),
        ("words: []\n", "1:8 words has no entries -> add `- ...` below it, at least 1"),
        ("words: [a, b, c, d]\n", "1:8 words has 4 entries -> at most 3"),
        ("login: x\n", '1:8 login is keys with values, not "x" -> its keys are: user, password, ca_file'),
        ("login: {}\n", '1:8 "user" is missing in login -> add `user: ...`'),
        ("login: {user: root}\n", "1:15 the user must not be root -> make one of its own"),
        ("counts: [1]\n", "1:9 counts is keys with values, not a list -> write `KEY: VALUE` below it"),
        ("counts: {a: x}\n", '1:13 a is a whole number, not "x" -> write digits'),
        ("site: ${NOPE}\n", "1:7 the environment has no NOPE -> set it where edgepost is started"),
        ("- a\n", "1:1 settings are keys with values -> begin with `version: 1`"),
        ("# nothing\n", "1:1 the file is empty -> begin with `version: 1`"),
    ],
)
def test_a_mistake_has_its_place_and_its_remedy(mistakes, text, expected):
    (found,) = mistakes(text)
    assert found.startswith(expected)


def test_all_mistakes_come_at_once_in_the_order_of_lines(mistakes):
    text = "sit: a\nlimit_bytes: x\nlogin:\n  user: root\n  pasword: a\nsources:\n  - kind: upd\n  - kind: udp\n    port: 0\n"
    assert ["1:1", "2:14", "4:9", "5:3", "7:11", "9:11"] == [found.split()[0] for found in mistakes(text)]


def test_a_secret_comes_from_the_file_itself_or_the_environment(read):
    assert Secret("0514") == read("login: {user: a, password: 0514}\n").login.password
    assert Secret("x") == read("login: {user: a, password: '${P}'}\n", P="x").login.password


def test_a_secret_file_is_relative_to_the_file_that_names_it(read, tmp_path):
    (tmp_path / "pw").write_text("s3cret \n")
    assert Secret("s3cret ") == read("login: {user: a, password_file: pw}\n").login.password


def test_a_secret_file_is_relative_to_the_credentials_directory_where_there_is_one(read, tmp_path):
    (tmp_path / "creds").mkdir()
    (tmp_path / "creds" / "pw").write_text("from systemd\n")
    top = read("login: {user: a, password_file: pw}\n", CREDENTIALS_DIRECTORY=str(tmp_path / "creds"))
    assert Secret("from systemd") == top.login.password


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * 70_000, "is larger"),
    ],
)
def test_a_secret_file_that_holds_no_secret_is_a_mistake(mistakes, tmp_path, content, expected):
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    (found,) = mistakes("login: {user: a, password_file: pw}\n")
    assert expected in found


def test_a_secret_and_its_file_exclude_each_other(mistakes):
    (found,) = mistakes("login: {user: a, password: x, password_file: pw}\n")
    assert "1:31 password and password_file both stand here" in found


def test_a_key_that_merely_ends_in_file_is_no_secret(read):
    assert "ca.pem" == read("login: {user: a, ca_file: ca.pem}\n").login.ca_file


@pytest.mark.parametrize(
    "text",
    [
        "login: {user: 'x' 'y', password: hunter2}\n",  # not YAML
        "login:\n  usr: a\n  password: hunter2\n",
        "login: {usr: a, password: hunter2}\n",
        "password: hunter2\n",
        "login:\n  user: a\n  password: [hunter2]\n",
    ],
)
def test_a_secret_is_never_shown_in_a_mistake(read, text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert "hunter2" not in str(caught.value)


def test_what_a_file_holds_cannot_act_on_the_terminal(read):
    with pytest.raises(ConfigError) as caught:
        read("site: \u202e\u009b31m\n")
    assert not {"\u202e", "\u009b"} & set(str(caught.value))


def test_the_caret_stands_under_the_place_even_in_a_long_line(read):
    with pytest.raises(ConfigError) as caught:
        read(f"words: [{'a, ' * 200}b]\nlimit_bytes: x\n")
    for line, caret in [said.splitlines()[1:3] for said in map(str, caught.value.mistakes)]:
        assert line[caret.index("^")] in "[x"
        assert len(line) <= 110


def _settings():
    names = st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,20}\Z")
    texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20).filter(
        lambda text: "$" not in text
    )
    ports = st.builds(Udp, name=names, port=st.integers(1, 65535))
    return st.builds(
        Top,
        site=names,
        limit_bytes=st.integers(-(1 << 63) + 1, (1 << 63) - 1),
        is_on=st.booleans(),
        mode=st.sampled_from(["fast", "slow"]),
        words=st.lists(texts, min_size=1, max_size=3).map(tuple),
        login=st.none() | st.builds(Login, user=texts.filter(lambda text: text != "root")),
        sources=st.lists(ports, max_size=4, unique_by=lambda port: port.name).map(tuple),
        counts=st.dictionaries(texts, st.integers(0, 9), max_size=3),
    )


@settings(deadline=None)
@given(_settings())
def test_settings_written_by_another_yaml_library_read_back_equal(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(pyyaml.safe_dump(msgspec.to_builtins(written), allow_unicode=True), encoding="utf-8")
    assert written == yaml.load(path, Top, env={})


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("abc:-[]{}\n '\"|>&*!#%@`,?\t", max_size=60).map(str.encode))
def test_any_bytes_give_settings_or_mistakes(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        yaml.load(path, Top, env={})
    except ConfigError as error:
        assert error.mistakes
        assert all(one.line >= 1 and one.column >= 1 and one.remedy for one in error.mistakes)


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match=r"gone.yaml:1:1: .*cannot be read: No such file"):
        yaml.load(tmp_path / "gone.yaml", Top, env={})
    with pytest.raises(ConfigError, match="Is a directory"):
        yaml.load(Path(os.devnull).parent, Top, env={})


@pytest.mark.parametrize(
    ("written", "env", "found"),
    [
        ("tls/our.key", {}, "{here}/tls/our.key"),
        ("/etc/our.key", {}, "/etc/our.key"),
        ("our.key", {"CREDENTIALS_DIRECTORY": "/run/credentials/edgepost"}, "/run/credentials/edgepost/our.key"),
        ("/etc/our.key", {"CREDENTIALS_DIRECTORY": "/run/credentials/edgepost"}, "/etc/our.key"),
        ("${DIR}/our.key", {"DIR": "/srv"}, "/srv/our.key"),
        ("null", {}, None),
    ],
)
def test_the_path_of_a_file_begins_where_credentials_are_else_at_the_yaml(read, tmp_path, written, env, found):
    assert (found and found.format(here=tmp_path)) == read(f"key_file: {written}\n", **env).key_file
