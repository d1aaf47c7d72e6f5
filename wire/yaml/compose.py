"""Bytes to nodes with marks, by PyYAML's event parser: nothing is resolved, nothing is constructed.

Bounded: 1 MiB, 24 levels, no aliases, so the nodes are never more than the text. The C parser is used where the
wheel brings it (a hundred times faster); on a syntax error the Python one reads again, because it says more, and the
same on every machine. What stands before a syntax error is given all the same, so that its mistakes are found too.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
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
    """A list; `is_whole` is false where a syntax mistake stands before its end."""

    mark: Mark
    items: list["Node"] = field(default_factory=list)
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Map:
    """Keys with their values, each key with the mark it has in the file; `is_whole` as of a list."""

    mark: Mark
    items: dict[str, tuple[Mark, "Node"]] = field(default_factory=dict)
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """What stood here was refused already, so nothing more is said about it."""

    mark: Mark


Node = Scalar | Seq | Map | Refused


def read_at_most(path: Path, limit_bytes: int) -> bytes:
    """Read the beginning of a file, whatever lies there."""
    with path.open("rb") as file:
        return file.read(limit_bytes)


def decode(data: bytes, source: Source, *, mistakes: list[Mistake]) -> str:
    """Take the bytes of a file as text; what is no text in it is noted, and stands there as U+FFFD.

    Raises:
        Unreadable: too large, or UTF-16.
    """
    if len(data) > MAX_BYTES:
        text = f"the file is larger than {MAX_BYTES} bytes"
        raise Unreadable(Mark(source), text, remedy="this is hardly a settings file; or split it by `include`")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        nothing = Mark(Source(source.path, order=source.order))  # no line of it can be shown
        raise Unreadable(nothing, "the file is UTF-16", remedy="save it as UTF-8: iconv -f UTF-16 -t UTF-8")
    text = data.decode("utf-8-sig", "replace")
    lines = _lines_of(text, source)
    wrong = _first_wrong(data)
    if wrong is not None:
        mark = _end_of(wrong, source)
        mistakes.append(Mistake.at(mark, "not UTF-8 here", remedy="save the file as UTF-8: iconv -f LATIN1 -t UTF-8"))
    for number, line in enumerate(lines):
        odd = Reader.NON_PRINTABLE.search(line)
        if odd:
            said = f"U+{ord(odd[0]):04X} may not stand in YAML"
            mark = Mark(source, number, odd.start())
            mistakes.append(Mistake.at(mark, said, remedy="remove the control character"))
    return Reader.NON_PRINTABLE.sub("\ufffd", text)


def _first_wrong(data: bytes) -> str | None:
    """Give the text before the first byte that is not UTF-8."""
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return data[: error.start].decode("utf-8-sig")
    return None


def _end_of(before: str, source: Source) -> Mark:
    lines = _lines_of(before, source)
    return Mark(source, len(lines) - 1, len(lines[-1]))


def _lines_of(text: str, source: Source) -> tuple[str, ...]:
    return Source.of(source.path, text, order=source.order).lines


def compose(text: str, source: Source, *, mistakes: list[Mistake]) -> Node | None:
    """Make the nodes of a text, up to what is not YAML in it; None where it holds nothing."""
    return _Composer(text, source, mistakes=mistakes).read()


def _syntax_mistake(text: str, source: Source) -> Mistake:
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        return _marked(error, source)
    except yaml.YAMLError as error:
        return Mistake.at(Mark(source), f"not YAML: {error}", remedy="see docs/configuration.md")
    return Mistake.at(Mark(source), "not YAML", remedy="see docs/configuration.md")


def _marked(error: yaml.MarkedYAMLError, source: Source) -> Mistake:
    """Put the mistake where a person must look: what is found at the end of the text began somewhere else."""
    place, began = error.problem_mark or error.context_mark, error.context_mark
    opened = began.line + 1 if began else None
    said, remedy, is_at_start = mend_syntax(str(error.problem), str(error.context or ""), opened=opened)
    if began and place and (is_at_start or not any(map(str.strip, source.lines[place.line :]))):
        place = began
    return Mistake.at(Mark(source, place.line, place.column) if place else Mark(source), said, remedy=remedy)


class _Composer:
    """Turns events into nodes, noting what settings may not hold, as far as the text is YAML."""

    def __init__(self, text: str, source: Source, *, mistakes: list[Mistake]) -> None:
        self._text = text
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._source = source
        self._mistakes = mistakes

    def read(self) -> Node | None:
        """Give the node of the only document."""
        root: Node | None = None
        documents = 0
        while event := self._next():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._say(event, "a second document begins here", "keep one document: remove the line `---`")
                    return root
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, depth=0)
        return root

    def _next(self) -> Any:
        """Give the next event; None at the end, and where the text is no YAML any more."""
        try:
            return next(self._events, None)
        except yaml.YAMLError:
            self._end(_syntax_mistake(self._text, self._source))
            return None

    def _end(self, mistake: Mistake) -> None:
        """Read no further; what is open stays as it is."""
        self._mistakes.append(mistake)
        self._events = iter(())

    def _node(self, event: Any, *, depth: int) -> Node:
        mark = self._mark(event)
        if depth > MAX_DEPTH:
            self._end(Mistake.at(mark, f"nested deeper than {MAX_DEPTH} levels", remedy="no setting is that deep"))
            return Refused(mark)
        is_refused = self._refuse(event)
        node: Node = Refused(mark)
        if isinstance(event, yaml.SequenceStartEvent):
            node = self._list(Seq(mark), depth=depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._map(Map(mark), depth=depth)
        elif isinstance(event, yaml.ScalarEvent):
            node = Scalar(mark, event.value, plain=event.style in {None, ""})
        if isinstance(node, Seq | Map) and not node.is_whole and event.flow_style:
            return Refused(mark)  # what stands in a bracket that is not closed may belong elsewhere
        return Refused(mark) if is_refused else node

    def _list(self, node: Seq, *, depth: int) -> Seq:
        while event := self._next():
            if isinstance(event, yaml.SequenceEndEvent):
                return node
            node.items.append(self._node(event, depth=depth + 1))
        return Seq(node.mark, node.items, is_whole=False)

    def _map(self, node: Map, *, depth: int) -> Map:
        while event := self._next():
            if isinstance(event, yaml.MappingEndEvent):
                return node
            key = self._node(event, depth=depth + 1)
            following = self._next()
            value = self._node(following, depth=depth + 1) if following else Refused(key.mark)
            if not isinstance(key, Scalar):
                self._say(event, "a list or a map cannot be a key", "a key is one word")
            elif key.text in node.items:
                first = node.items[key.text][0].line + 1
                self._say(event, f'"{key.text}" stands here twice, first in line {first}', "keep one of the two")
            else:
                node.items[key.text] = (key.mark, value)
        return Map(node.mark, node.items, is_whole=False)

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
