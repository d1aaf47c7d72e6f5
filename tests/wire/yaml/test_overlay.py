import msgspec
import pytest

from wire import yaml
from wire.yaml import ConfigError


class Port(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="port"):
    name: str = "port"
    number: int = 0
    hosts: tuple[str, ...] = ()


class Deep(msgspec.Struct, frozen=True, kw_only=True):
    a: int = 0
    b: int = 0
    words: tuple[str, ...] = ()


class Top(msgspec.Struct, frozen=True, kw_only=True):
    include: tuple[str, ...] = ()
    deep: Deep = Deep()
    ports: tuple[Port, ...] = ()


@pytest.fixture
def read(tmp_path):
    def read(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return yaml.load(tmp_path / "top.yaml", Top, env={})

    return read


def mistakes_of(read, **files):
    with pytest.raises(ConfigError) as caught:
        read(**files)
    return [
        f"{one.file.rpartition('/')[2]}:{one.line}:{one.column} {one.text.replace(one.file, '')}"
        for one in caught.value.mistakes
    ]


def test_maps_merge_and_the_including_file_wins(read):
    top = read(top="include: [low.yaml]\ndeep: {b: 2}\n", low="deep: {a: 1, b: 1}\n")
    assert Deep(a=1, b=2) == top.deep


def test_a_later_include_lies_over_an_earlier_one(read):
    top = read(top="include: [one.yaml, two.yaml]\n", one="deep: {a: 1, b: 1}\n", two="deep: {b: 2}\n")
    assert Deep(a=1, b=2) == top.deep


def test_includes_of_includes_are_relative_to_the_file_that_names_them(read, tmp_path):
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "hue.yaml").write_text("include: [../base.yaml]\ndeep: {b: 2}\n")
    assert Deep(a=1, b=2) == read(top="include: [sites/hue.yaml]\n", base="deep: {a: 1}\n").deep


def test_a_list_is_replaced_whole(read):
    top = read(top="include: [low.yaml]\ndeep: {words: [x]}\n", low="deep: {words: [a, b]}\n")
    assert ("x",) == top.deep.words


def test_named_entries_merge_by_name_in_the_order_of_the_base(read):
    low = "ports: [{kind: port, name: a, number: 1, hosts: [h]}, {kind: port, name: b, number: 2}]\n"
    top = read(top="include: [low.yaml]\nports: [{kind: port, name: c}, {name: a, number: 9}]\n", low=low)
    assert (Port(name="a", number=9, hosts=("h",)), Port(name="b", number=2), Port(name="c")) == top.ports


def test_an_entry_without_a_name_goes_by_its_kind(read):
    top = read(top="include: [low.yaml]\nports: [{kind: port, number: 9}]\n", low="ports: [{kind: port, number: 1}]\n")
    assert (Port(number=9),) == top.ports


def test_two_entries_of_one_name_in_one_file_are_a_mistake(read):
    ports = "ports:\n  - kind: port\n  - kind: port\n"
    assert ['top.yaml:3:5 the name "port" is taken in line 2'] == mistakes_of(read, top=ports)
    found = mistakes_of(read, top=f"include: [low.yaml]\n{ports}", low="ports: [{kind: port}]\n")
    assert 1 == len(found)
    assert "is taken" in found[0]


def test_a_circle_of_includes_is_told_where_it_closes(read):
    found = mistakes_of(read, top="include: [low.yaml]\n", low="include:\n  - top.yaml\n")
    assert 1 == len(found)
    assert found[0].startswith("low.yaml:2:5 ")
    assert found[0].endswith("top.yaml leads back to itself")


def test_a_missing_include_is_told_where_it_is_asked_for(read):
    (found,) = mistakes_of(read, top="include: [gone.yaml]\n")
    assert found.startswith("top.yaml:1:11 ")
    assert found.endswith("gone.yaml cannot be read: No such file or directory")


def test_a_file_included_twice_without_a_circle_is_read_twice(read):
    files = {"one": "include: [low.yaml]\n", "two": "include: [low.yaml]\n", "low": "deep: {a: 1}\n"}
    assert 1 == read(top="include: [one.yaml, two.yaml]\n", **files).deep.a


def test_includes_that_multiply_are_stopped(read):
    files = {f"f{n}": f"include: [f{n + 1}.yaml, f{n + 1}.yaml]\n" for n in range(20)}
    found = mistakes_of(read, top="include: [f0.yaml]\n", f20="deep: {a: 1}\n", **files)
    assert any("more than 64 files" in one for one in found)


def test_mistakes_of_several_files_come_in_the_order_of_reading(read):
    found = mistakes_of(read, top="include: [low.yaml]\ndep: 1\n", low="deep: {c: 1}\n")
    assert ['top.yaml:2:1 there is no "dep" here', 'low.yaml:1:8 there is no "c" here'] == found


@pytest.mark.parametrize("text", ["include: low.yaml\n", "include: {a: b}\n"])
def test_an_include_that_is_no_list_is_told(read, text):
    (found,) = mistakes_of(read, top=text, low="deep: {a: 1}\n")
    assert found.startswith("top.yaml:1:10 include is a list, not ")
