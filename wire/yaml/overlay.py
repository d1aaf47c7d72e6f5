"""`include`: one file laid over others.

The files that a file includes are read first, in their order, each laid over the one before; the file itself lies on
top. Maps merge key by key; a list of named entries (`collectors`) merges by name; any other value is replaced whole.
Each node keeps the mark of the file it came from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from wire.yaml.compose import MAX_BYTES, Map, Node, Scalar, Seq, compose, decode, read_at_most
from wire.yaml.mistakes import Mark, Mistake, Source, Unreadable

INCLUDE: Final = "include"
_MAX_FILES: Final = 64
_NO_PLACE: Final = Mark(Source(Path()))


def read_tree(path: Path, *, kind: type[Any], mistakes: list[Mistake]) -> Map | None:
    """Read a file with all it includes; None, with the mistakes noted, where that gives no map."""
    return _Reader(named_lists(kind), mistakes).read(path, asked=None, above=())


def named_lists(kind: type[Any]) -> dict[str, str]:
    """Name the keys of a struct whose lists merge by name, each with the key that stands in for a missing name."""
    found = {}
    for field in msgspec.structs.fields(kind):
        for item in _item_structs(msgspec.inspect.type_info(field.type)):
            if any(part.encode_name == "name" for part in item.fields):
                found[field.encode_name] = item.tag_field or "name"
    return found


def _item_structs(kind: msgspec.inspect.Type) -> list[msgspec.inspect.StructType]:
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if not isinstance(kind, msgspec.inspect.VarTupleType):
        return []
    item = kind.item_type
    options = item.types if isinstance(item, msgspec.inspect.UnionType) else (item,)
    return [option for option in options if isinstance(option, msgspec.inspect.StructType)]


class _Reader:
    """Reads files, keeping count of them and noting mistakes."""

    def __init__(self, named: Mapping[str, str], mistakes: list[Mistake]) -> None:
        self._named = named
        self._mistakes = mistakes
        self._files = 0

    def read(self, path: Path, *, asked: Mark | None, above: tuple[Path, ...]) -> Map | None:
        """Read one file over what it includes; `asked` is where it was included, `above` the files that led here."""
        self._files += 1
        source = Source(path, order=self._files)
        before = len(self._mistakes)
        try:
            node, source = self._nodes(path, asked, order=source.order)
        except Unreadable as error:
            self._mistakes.append(error.mistake)
            return None
        if not isinstance(node, Map):
            if len(self._mistakes) > before and not isinstance(node, Scalar | Seq):
                return None  # it is said already what stands here
            said, remedy = "settings are keys with values", "begin with `version: 1`; see docs/configuration.md"
            self._say(Mark(source) if node is None else node.mark, said if node else "the file is empty", remedy)
            return None
        return self._with_includes(node, path, above)

    def _nodes(self, path: Path, asked: Mark | None, *, order: int) -> tuple[Node | None, Source]:
        source = Source(path, order=order)
        try:
            data = read_at_most(path, MAX_BYTES + 1)
        except OSError as error:
            text = f"{path} cannot be read: {error.strerror}"
            raise Unreadable(asked or Mark(source), text, remedy="check the path, and who may read it") from error
        text = decode(data, Source.of(path, data.decode("utf-8-sig", "replace"), order=order), mistakes=self._mistakes)
        source = Source.of(path, text, order=order)
        return compose(text, source, mistakes=self._mistakes), source

    def _with_includes(self, node: Map, path: Path, above: tuple[Path, ...]) -> Map:
        entry = node.items.get(INCLUDE)
        if entry is None:
            return node
        merged: Map | None = None
        listed = entry[1].items if isinstance(entry[1], Seq) else []  # what else it may be is for the walk to say
        for item in listed:
            below = self._included(item, path, (*above, path.resolve()))
            if below is not None:
                merged = below if merged is None else overlay(merged, below, named=self._named)
        return node if merged is None else overlay(merged, node, named=self._named)

    def _included(self, item: Node, path: Path, above: tuple[Path, ...]) -> Map | None:
        if not isinstance(item, Scalar):
            return None
        other = path.parent / item.text
        if other.resolve() in above:
            self._say(item.mark, f"{other} leads back to itself", "take one `include` out of the circle")
        elif self._files >= _MAX_FILES:
            self._say(item.mark, f"more than {_MAX_FILES} files are included", "include fewer files")
        else:
            return self.read(other, asked=item.mark, above=above)
        return None

    def _say(self, mark: Mark, text: str, remedy: str) -> None:
        self._mistakes.append(Mistake.at(mark, text, remedy=remedy))


def overlay(base: Map, over: Map, *, named: Mapping[str, str]) -> Map:
    """Lay one map over another; marks of `over` win."""
    items = dict(base.items)
    for key, (mark, value) in over.items.items():
        below = items[key][1] if key in items else None
        items[key] = (mark, _merged(below, value, tag=named.get(key)))
    return Map(over.mark, items, is_whole=base.is_whole and over.is_whole)


def _merged(below: Node | None, value: Node, *, tag: str | None) -> Node:
    if isinstance(below, Map) and isinstance(value, Map):
        return overlay(below, value, named={})
    if isinstance(below, Seq) and isinstance(value, Seq) and tag is not None:
        return _by_name(below, value, tag=tag)
    return value


def _by_name(base: Seq, over: Seq, *, tag: str) -> Seq:
    items = list(base.items)
    places = {_name_of(item, tag): place for place, item in enumerate(items)}
    for item in over.items:
        place = places.pop(_name_of(item, tag), None)  # a second one of that name is appended, and refused later
        below = items[place] if place is not None else None
        if place is not None and isinstance(below, Map) and isinstance(item, Map):
            items[place] = overlay(below, item, named={})
        else:
            items.append(item)
    return Seq(over.mark, items, is_whole=base.is_whole and over.is_whole)


def _name_of(item: Node, tag: str) -> str | None:
    if isinstance(item, Map):
        for key in ("name", tag):
            value = item.items.get(key, (_NO_PLACE, None))[1]
            if isinstance(value, Scalar):
                return value.text
    return None
