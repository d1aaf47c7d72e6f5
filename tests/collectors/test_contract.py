"""What every collector owes: walks COLLECTORS by itself, so a new one is judged from its first day."""

import asyncio
import contextlib
import importlib
import random
import re
import socket
from pathlib import Path

import msgspec
import pytest
from parts.sinks import ListSink

from collectors.registry import COLLECTORS, Collector, load
from collectors.sink import Sink

PAGES = Path(__file__).parents[2] / "docs" / "collectors"
each_collector = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)


def free_ports(value: object) -> object:
    """The same settings with every `bind` on a free port of the loopback."""
    if isinstance(value, dict):
        return {key: free_bind(item) if key == "bind" else free_ports(item) for key, item in value.items()}
    return [free_ports(item) for item in value] if isinstance(value, list | tuple) else value


def free_bind(bind: str) -> str:
    return re.sub(r"//.*$", "//127.0.0.1:0", bind)


def settings(collector: Collector) -> object:
    defaults = msgspec.to_builtins(collector.config())
    return msgspec.convert(free_ports(defaults), collector.config)


def targets(report: dict) -> list[tuple[str, int]]:
    """Transport and port of every listener that is reported."""
    return [
        (each["bind"].partition(":")[0], each["port"])
        for each in report.get("listeners", [])
        if each.get("port") is not None
    ]


def descriptors() -> set[str]:
    """What this process has open, by number and target."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder
            found.add(f"{entry.name} {entry.readlink()}")
    return found


@each_collector
def test_the_defaults_are_valid_and_say_whose_they_are(collector: Collector) -> None:
    again = msgspec.convert(msgspec.to_builtins(collector.config()), collector.config)
    assert again == collector.config()
    assert msgspec.to_builtins(again)["collector"] == collector.name
    assert again.name == collector.name


@each_collector
def test_every_setting_is_explained(collector: Collector) -> None:
    for struct in structs(collector.config):
        documented = re.findall(r"^ {8}(\w+): \S", struct.__doc__ or "", re.MULTILINE)
        assert [field.name for field in msgspec.structs.fields(struct)] == documented


def structs(kind: type) -> list[type]:
    """A settings struct and the structs inside it."""
    found = [kind]
    for field in msgspec.inspect.type_info(kind).fields:
        inner = field.type
        while isinstance(inner, msgspec.inspect.VarTupleType):
            inner = inner.item_type
        if isinstance(inner, msgspec.inspect.StructType):
            found += structs(inner.cls)
    return found


@each_collector
def test_each_column_is_explained_in_the_row_and_on_the_page(collector: Collector) -> None:
    page = (PAGES / f"{collector.name.replace('_', '-')}.md").read_text(encoding="utf-8")
    for stream in collector.streams:
        documented = re.findall(r"^ {8}(\w+): \S", stream.row.__doc__ or "", re.MULTILINE)
        names = [name for name, _ in stream.columns]
        assert names == documented
        assert names[:2] == ["time", "received"]
        assert stream.source in names
        assert not {"stream", "site", "agent", "epoch", "lane", "seq", "row"} & set(names)
        for name, kind in stream.columns:
            assert re.search(rf"^\| `{name}` \| {kind}\b", page, re.MULTILINE), f"{collector.name}: column {name}"


@each_collector
def test_each_setting_stands_on_the_page(collector: Collector) -> None:
    page = (PAGES / f"{collector.name.replace('_', '-')}.md").read_text(encoding="utf-8")
    for struct in structs(collector.config):
        for field in msgspec.structs.fields(struct):
            assert f"`{field.name}`" in page, f"{collector.name}: setting {field.name}"


@each_collector
def test_every_reason_it_counts_by_is_declared_and_explained(collector: Collector) -> None:
    page = (PAGES / f"{collector.name.replace('_', '-')}.md").read_text(encoding="utf-8")
    declared = [reason.name for reason in collector.reasons]
    assert len(set(declared)) == len(declared)
    assert counted_by_name(collector) <= set(declared)
    for reason in collector.reasons:
        assert (reason.rows_of is not None) == reason.is_in_rows, reason
        assert reason.rows_of is None or reason.rows_of in collector.streams, reason
        assert re.search(rf"^\| `{reason.name}` \| .*\b{reason.unit}\b", page, re.MULTILINE), reason


def counted_by_name(collector: Collector) -> set[str]:
    """The names that its code gives to `count`, as far as they stand there in quotes."""
    package = Path(importlib.import_module(collector.collect.partition(":")[0]).__file__ or "").parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    return {name for text in texts for name in re.findall(r"\b_?count\(\s*f?\"([a-z][a-z-]+)\"", text)}


@each_collector
async def test_it_starts_on_a_free_port_and_a_cancel_leaves_nothing_behind(collector: Collector) -> None:
    before, files = asyncio.all_tasks(), descriptors()
    sink = ListSink()
    task = asyncio.create_task(load(collector.collect)(settings(collector), sink))
    await sink.until(lambda: targets(sink.reported) or task.done())
    assert not task.done()
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == before
    assert descriptors() == files


@each_collector
async def test_it_survives_random_bytes_and_puts_only_its_columns(collector: Collector) -> None:
    sink = ListSink()
    task = asyncio.create_task(load(collector.collect)(settings(collector), sink))
    await sink.until(lambda: targets(sink.reported))
    noise = random.Random(20261124)
    for transport, port in targets(sink.reported):
        await asyncio.to_thread(throw, noise, transport, port)
    if targets(sink.reported):
        await sink.until(lambda: len(sink.rows) > 50)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert set(sink.counted) <= {reason.name for reason in collector.reasons}
    for stream, _, row in sink.puts:
        assert stream in collector.streams
        assert len(row) == len(stream.columns)
        for value, (_, kind) in zip(row, stream.columns, strict=True):
            assert value is None or type(value) in KINDS[kind]
    msgspec.msgpack.encode(sink.rows)


KINDS = {
    "time": {int},
    "int": {int},
    "float": {float, int},
    "bool": {bool},
    "str": {str},
    "bytes": {bytes},
    "map": {dict},
    "list": {list, tuple},
}


def throw(noise: random.Random, transport: str, port: int) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    for _ in range(100):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.connect(("127.0.0.1", port))
            sock.send(noise.randbytes(noise.randrange(1, 1_400)))


def test_list_sink_is_a_sink() -> None:
    sink: Sink = ListSink()
    assert sink.marks() == {}
