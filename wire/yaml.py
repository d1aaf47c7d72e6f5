"""A YAML file to settings: every mistake at once, each with file, line, column, and what to do.

    text ──compose──► nodes with marks ──overlay──► one tree ──walk against structs──► settings, or all mistakes

Scalars are YAML 1.2 core (section 10.3.2), so `NO`, `0514` and `1:30` mean what they look like. Duplicate keys,
aliases, anchors and tags are mistakes: a settings file is data that a person reads. `${ENV}` is replaced inside
scalars after parsing. A secret key K may come as `K_file: PATH`.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from wire.secret import Secret
from wire.text import printable

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 16
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: Final = {"": None, "~": None, **dict.fromkeys(("null", "Null", "NULL"))} | {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_ENV: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; line and column count from 1."""

    file: str
    line: int
    column: int
    text: str
    remedy: str
    source: str

    def __str__(self) -> str:
        said = f"{self.file}:{self.line}:{self.column}: {self.text}"
        if self.source:
            said += f"\n    {printable(self.source)}\n    {' ' * (self.column - 1)}^"
        return printable_lines(f"{said}\n    {self.remedy}" if self.remedy else said)


def printable_lines(text: str) -> str:
    """Make each line of a text printable, its line breaks kept."""
    return "\n".join(map(printable, text.split("\n")))


class ConfigError(Exception):
    """A settings file with mistakes, all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def load(path: Path, kind: type[_T], *, kinds: Mapping[str, type[Any]], env: Mapping[str, str]) -> _T:
    """Read a file into a struct.

    Args:
        path: of the file; its `include` files lie beside it.
        kind: the struct of the whole.
        kinds: what an entry of `collectors` or `sinks` becomes, by the value of its tag.
        env: for `${NAME}` and $CREDENTIALS_DIRECTORY.

    Raises:
        ConfigError: with every mistake.
    """
    reader = _Reader(kinds, env)
    node = reader.compose(path, ())
    settings = None if node is None else reader.walk(node, kind, depth=0)
    if reader.mistakes or settings is None:
        raise ConfigError(sorted(reader.mistakes, key=lambda one: (one.file, one.line, one.column)))
    return settings  # type: ignore[no-any-return]


class _Reader:
    """Collects mistakes while it reads."""

    def __init__(self, kinds: Mapping[str, type[Any]], env: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._env = env
        self._lines: dict[str, list[str]] = {}
        self.mistakes: list[Mistake] = []

    def _say(self, mark: Any, text: str, remedy: str = "") -> None:
        lines = self._lines.get(mark.name, [])
        source = lines[mark.line].rstrip("\r") if mark.line < len(lines) else ""
        self.mistakes.append(Mistake(mark.name, mark.line + 1, mark.column + 1, text, remedy, source))

    def _say_of_file(self, path: Path, text: str, remedy: str) -> None:
        self.mistakes.append(Mistake(str(path), 1, 1, text, remedy, ""))

    # --- text to nodes ---------------------------------------------------------------------------------------------

    def compose(self, path: Path, parents: tuple[Path, ...]) -> Node | None:
        """Read one file and lay it over what it includes."""
        text = self._read(path)
        if text is None:
            return None
        self._lines[str(path)] = text.split("\n")
        try:
            node = self._compose_text(text, str(path))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._say(mark, str(error.problem or error), "indent with spaces; put texts with : or # into quotes")
            return None
        except yaml.YAMLError as error:
            self._say_of_file(path, f"not YAML: {error}", "save it as UTF-8 text")
            return None
        if node is None:
            self._say_of_file(path, "the file is empty", "start from config/agent.yaml")
            return None
        return self._with_includes(node, path, parents)

    def _read(self, path: Path) -> str | None:
        try:
            data = path.read_bytes()
            if len(data) > MAX_BYTES:
                self._say_of_file(path, f"{len(data)} bytes, at most {MAX_BYTES}", "this is no settings file")
                return None
            return data.decode("utf-8-sig")
        except OSError as error:
            self._say_of_file(path, f"cannot be read: {error.strerror}", "check the path and its permissions")
        except UnicodeDecodeError as error:
            self._say_of_file(path, f"not UTF-8 at byte {error.start}", "save it as UTF-8")
        return None

    def _compose_text(self, text: str, name: str) -> Node | None:
        loader = yaml.SafeLoader(text)
        loader.name = name
        for token in yaml.scan(text, Loader=_LOADER):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
                mark = yaml.Mark(name, 0, token.start_mark.line, token.start_mark.column, None, 0)
                raise yaml.MarkedYAMLError(problem="aliases, anchors and tags are not used here", problem_mark=mark)
        return loader.get_single_node()

    def _with_includes(self, node: Node, path: Path, parents: tuple[Path, ...]) -> Node:
        if not isinstance(node, MappingNode):
            return node
        for key, value in list(node.value):
            if key.value != "include":
                continue
            node.value.remove((key, value))
            for entry in value.value if isinstance(value, SequenceNode) else [value]:
                other = (path.parent / str(entry.value)).resolve()
                if other in (*parents, path.resolve()):
                    self._say(entry.start_mark, "this file includes itself", "take one `include` out of the circle")
                    continue
                base = self.compose(other, (*parents, path.resolve()))
                if isinstance(base, MappingNode):
                    node = _overlay(base, node)
        return node

    # --- nodes to values -------------------------------------------------------------------------------------------

    def walk(self, node: Node, kind: Any, *, depth: int) -> Any:
        """Give the value of a node as `kind`, or note mistakes and give None."""
        if depth > MAX_DEPTH:
            self._say(node.start_mark, "nested too deeply")
            return None
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(node, kind, depth=depth)
        if get_origin(kind) is tuple:
            return self._tuple(node, get_args(kind)[0], depth=depth)
        if get_origin(kind) is dict and isinstance(node, MappingNode):
            return {self._scalar(key): self.walk(value, get_args(kind)[1], depth=depth + 1) for key, value in node.value}
        return self._leaf(node, kind)

    def _tuple(self, node: Node, kind: Any, *, depth: int) -> Any:
        if not isinstance(node, SequenceNode):
            self._say(node.start_mark, "a list is needed here", "begin each entry with `- `")
            return ()
        if kind is not Any:
            return tuple(self.walk(entry, kind, depth=depth + 1) for entry in node.value)
        values = [self._tagged(entry, depth=depth + 1) for entry in node.value]
        self._check_names(node, values)
        return tuple(values)

    def _tagged(self, node: Node, *, depth: int) -> Any:
        """An entry whose struct its tag names: `collector: syslog`."""
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if any(key.value == kind.__struct_config__.tag_field for kind in self._kinds.values()):
                    if value.value in self._kinds:
                        return self._struct(node, self._kinds[value.value], depth=depth)
                    self._say(value.start_mark, f"{value.value!r} is none of our kinds", self._nearest(value.value, self._kinds))
                    return None
        self._say(node.start_mark, "this entry does not say what it is", f"one of: {', '.join(sorted(self._kinds))}")
        return None

    def _check_names(self, node: SequenceNode, values: list[Any]) -> None:
        seen: set[str] = set()
        for entry, value in zip(node.value, values, strict=True):
            name = getattr(value, "name", None)
            if name is not None and name in seen:
                self._say(entry.start_mark, f"the name {name!r} is taken", "give each entry a `name` of its own")
            seen.add(name or "")

    def _struct(self, node: Node, kind: type[msgspec.Struct], *, depth: int) -> Any:
        if not isinstance(node, MappingNode):
            self._say(node.start_mark, "keys and values are needed here", "write `key: value`")
            return None
        before = len(self.mistakes)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        given: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            secret = name.removesuffix("_file")
            if name in given or (name == tag and "\0tag" in given):
                self._say(key.start_mark, f"{name!r} stands here twice", "take one of them out")
            elif name == tag:
                given["\0tag"] = None
            elif name in fields:
                given[name] = self.walk(value, fields[name].type, depth=depth + 1)
            elif name != secret and secret in fields and _bare(fields[secret].type) is Secret:
                given[secret] = self._secret_file(value)
            else:
                self._say(key.start_mark, f"there is no {name!r} here", self._nearest(name, fields))
        given.pop("\0tag", None)
        for name, field in fields.items():
            if field.required and name not in given:
                self._say(node.start_mark, f"{name!r} is missing", f"add `{name}:`")
        return self._made(node, kind, given) if len(self.mistakes) == before else None

    def _made(self, node: Node, kind: type[msgspec.Struct], given: dict[str, Any]) -> Any:
        try:
            return kind(**given)
        except ValueError as error:
            self._say(node.start_mark, str(error), "")
            return None

    def _leaf(self, node: Node, kind: Any) -> Any:
        if not isinstance(node, ScalarNode):
            self._say(node.start_mark, "one value is needed here, not a list or keys", "")
            return None
        value = self._scalar(node)
        if value is None and _allows_none(kind):
            return None
        if kind is Secret:
            return Secret(str(value))
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            self._say(node.start_mark, str(error), f"you wrote {node.value!r}" if kind is not Secret else "")
            return None

    def _scalar(self, node: Node) -> Any:
        text = _ENV.sub(self._from_env(node), str(node.value))
        if getattr(node, "style", None) is not None or not isinstance(node, ScalarNode):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _from_env(self, node: Node) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            if match[1] not in self._env:
                self._say(node.start_mark, f"the environment has no {match[1]}", "set it in the unit, or write the value")
            return self._env.get(match[1], "")

        return replace

    def _secret_file(self, node: Node) -> Secret:
        name = str(self._scalar(node))
        base = self._env.get("CREDENTIALS_DIRECTORY") or str(Path(node.start_mark.name).parent)
        try:
            return Secret((Path(base) / name).read_text(encoding="utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "not UTF-8")
            self._say(node.start_mark, f"{name} cannot be read: {reason}", "check the path and its permissions")
            return Secret("")

    def _nearest(self, name: str, known: Mapping[str, Any]) -> str:
        near = difflib.get_close_matches(str(name), known, n=1)
        return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _bare(kind: Any) -> Any:
    """Take Optional away; Annotated stays, it carries limits."""
    if get_origin(kind) in {Union, UnionType}:
        options = [option for option in get_args(kind) if option is not NoneType]
        structured = [option for option in options if option is Secret or get_origin(option) is tuple]
        if len(options) == 1 and (structured or not _is_plain(options[0])):
            return options[0]
    return kind


def _is_plain(kind: Any) -> bool:
    return kind in {str, int, float, bool} or get_origin(kind) is Annotated


def _allows_none(kind: Any) -> bool:
    return get_origin(kind) in {Union, UnionType} and NoneType in get_args(kind)


def _overlay(base: MappingNode, over: MappingNode) -> MappingNode:
    """Lay one map over another: maps merge, collectors merge by name, other lists and values are replaced."""
    merged = {key.value: (key, value) for key, value in base.value}
    for key, value in over.value:
        below = merged[key.value][1] if key.value in merged else None
        if isinstance(below, MappingNode) and isinstance(value, MappingNode):
            value = _overlay(below, value)
        elif key.value == "collectors" and isinstance(below, SequenceNode) and isinstance(value, SequenceNode):
            value = _by_name(below, value)
        merged[key.value] = (key, value)
    repeated = [pair for pair in over.value if sum(pair[0].value == key.value for key, _ in over.value) > 1]
    return MappingNode(over.tag, [*merged.values(), *repeated[1:]], over.start_mark, over.end_mark)


def _by_name(base: SequenceNode, over: SequenceNode) -> SequenceNode:
    entries = {_name_of(entry): entry for entry in base.value}
    for entry in over.value:
        below = entries.get(_name_of(entry))
        both = isinstance(below, MappingNode) and isinstance(entry, MappingNode)
        entries[_name_of(entry)] = _overlay(below, entry) if both else entry  # type: ignore[arg-type]
    return SequenceNode(over.tag, list(entries.values()), over.start_mark, over.end_mark)


def _name_of(entry: Node) -> str:
    pairs = {key.value: value.value for key, value in entry.value} if isinstance(entry, MappingNode) else {}
    return str(pairs.get("name", pairs.get("collector", id(entry))))
