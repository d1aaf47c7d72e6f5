"""Bytes to nodes with marks, by PyYAML's event parser: nothing is resolved, nothing is constructed.

Bounded: 1 MiB, 24 levels, no aliases, so the nodes are never more than the text. The C parser is used where the
wheel brings it (a hundred times faster); on a syntax error the Python one reads again, because it says more, and the
same on every machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.reader import Reader

from wire.yaml.mistakes import Mark, Mistake, Source, Unreadable
from wire.yaml.remedies import mend_syntax

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 24
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as it was written; `plain` means without quotes."""

    mark: Mark
    text: str
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Seq:
    """A list."""

    mark: Mark
    items: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Map:
    """Keys with their values, each key with the mark it has in the file."""

    mark: Mark
    items: dict[str, tuple[Mark, "Node"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """What stood here was refused already, so nothing more is said about it."""

    mark: Mark


Node = Scalar | Seq | Map | Refused


def decode(data: bytes, source: Source) -> str:
    """Take the bytes of a file as text.

    Raises:
        Unreadable: too large, not UTF-8, or with control characters.
    """
    if len(data) > MAX_BYTES:
        text = f"the file has {len(data)} bytes, at most {MAX_BYTES} are read"
        raise Unreadable(Mark(source), text, remedy="this is hardly a settings file; or split it by `include`")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        raise Unreadable(_end_of(before, source), "not UTF-8 here", remedy="save the file as UTF-8") from error
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        said = f"U+{ord(odd[0]):04X} may not stand in YAML"
        raise Unreadable(_end_of(text[: odd.start()], source), said, remedy="remove the control character")
    return text


def _end_of(text: str, source: Source) -> Mark:
    lines = Source.of(source.path, text, order=source.order).lines
    return Mark(source, len(lines) - 1, len(lines[-1]))


def compose(text: str, source: Source, *, mistakes: list[Mistake]) -> Node | None:
    """Make the nodes of a text; None where it holds nothing.

    Raises:
        Unreadable: not YAML, or too deep.
    """
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER), source, mistakes=mistakes).read()
    except yaml.YAMLError:
        raise _syntax_mistake(text, source) from None


def _syntax_mistake(text: str, source: Source) -> Unreadable:
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(source, place.line, place.column) if place else Mark(source)
        opened = error.context_mark.line + 1 if error.context_mark else None
        said, remedy = mend_syntax(str(error.problem), str(error.context or ""), opened=opened)
        return Unreadable(mark, said, remedy=remedy)
    except yaml.YAMLError as error:
        return Unreadable(Mark(source), f"not YAML: {error}", remedy="see docs/configuration.md")
    return Unreadable(Mark(source), "not YAML", remedy="see docs/configuration.md")


class _Composer:
    """Turns events into nodes, noting what settings may not hold."""

    def __init__(self, events: Iterator[Any], source: Source, *, mistakes: list[Mistake]) -> None:
        self._events = events
        self._source = source
        self._mistakes = mistakes

    def read(self) -> Node | None:
        """Give the node of the only document."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._say(event, "a second document begins here", "keep one document: remove the line `---`")
                    return root
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, depth=0)
        return root

    def _node(self, event: Any, *, depth: int) -> Node:
        mark = self._mark(event)
        if depth > MAX_DEPTH:
            raise Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels", remedy="no setting is that deep")
        is_refused = self._refuse(event)
        node: Node = Refused(mark)
        if isinstance(event, yaml.SequenceStartEvent):
            node = self._list(Seq(mark), depth=depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._map(Map(mark), depth=depth)
        elif isinstance(event, yaml.ScalarEvent):
            node = Scalar(mark, event.value, plain=event.style in {None, ""})
        return Refused(mark) if is_refused else node

    def _list(self, node: Seq, *, depth: int) -> Seq:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            node.items.append(self._node(event, depth=depth + 1))
        return node

    def _map(self, node: Map, *, depth: int) -> Map:
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, depth=depth + 1)
            value = self._node(next(self._events), depth=depth + 1)
            if not isinstance(key, Scalar):
                self._say(event, "a list or a map cannot be a key", "a key is one word")
            elif key.text in node.items:
                first = node.items[key.text][0].line + 1
                self._say(event, f'"{key.text}" stands here twice, first in line {first}', "keep one of the two")
            else:
                node.items[key.text] = (key.mark, value)
        return node

    def _refuse(self, event: Any) -> bool:
        """Note what settings may not use; tell whether the node is lost by it."""
        if isinstance(event, yaml.AliasEvent):
            self._say(
                event, f"*{event.anchor} is an alias", "write the value out; a text that begins with * needs quotes"
            )
        elif event.anchor is not None:
            self._say(
                event, f"&{event.anchor} is an anchor", "write values out; a text that begins with & needs quotes"
            )
        elif event.tag is not None:
            self._say(event, "a tag is not used in settings", "remove it; a text that begins with ! needs quotes")
            return True
        return isinstance(event, yaml.AliasEvent)

    def _say(self, event: Any, text: str, remedy: str) -> None:
        self._mistakes.append(Mistake.at(self._mark(event), text, remedy=remedy))

    def _mark(self, event: Any) -> Mark:
        return Mark(self._source, event.start_mark.line, event.start_mark.column)
