"""Nodes against msgspec structs: each value is read as the type its key has, and every mistake is noted.

A node that is wrong gives `WRONG`, and what stands around it is still checked, so that all mistakes come at once.
A struct whose parts are all right is made by `msgspec.convert`; what that still refuses (a `__post_init__` that
raises ValueError) becomes a mistake at the first key of the struct that its text names, else at the struct. Such a
text says what is wrong, and after `; ` what to do.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from wire.secret import Secret
from wire.yaml.compose import Map, Node, Scalar, Seq
from wire.yaml.mistakes import Mark, Mistake
from wire.yaml.remedies import mend_key, mend_number, nearest, quoted
from wire.yaml.scalars import fill, is_null, plain_value, resolve

WRONG: Final[Any] = object()
_FILE: Final = "_file"
_MAX_SECRET_BYTES: Final = 1 << 16
_WORD: Final = re.compile(r"[a-z0-9_]+", re.ASCII)
_PATH_KEY: Final = re.compile(r" - at `\$\.([a-z0-9_]+)", re.ASCII)
_LISTS: Final = (inspect.VarTupleType, inspect.ListType, inspect.SetType, inspect.FrozenSetType)
_INT64: Final = 1 << 63


class Walk:
    """Reads one tree, appending to `mistakes`."""

    def __init__(self, mistakes: list[Mistake], *, env: Mapping[str, str]) -> None:
        self._mistakes = mistakes
        self._env = env
        self._root: inspect.StructType

    def read_root(self, node: Map, kind: type[Any]) -> Any:
        """Give the struct of the whole, or None."""
        root = inspect.type_info(kind)
        assert isinstance(root, inspect.StructType)
        self._root = root
        settings = self._struct(node, root, key="")
        return None if settings is WRONG else settings

    def _say(self, mark: Mark, text: str, remedy: str) -> Any:
        self._mistakes.append(Mistake.at(mark, text, remedy=remedy))
        return WRONG

    def _read(self, node: Node, kind: inspect.Type, *, key: str) -> Any:
        """Read a node as a type; `key` is the name it goes by in sentences."""
        remedy = None
        while isinstance(kind, inspect.Metadata):
            remedy = (kind.extra or {}).get("remedy")
            kind = kind.type
        if isinstance(kind, inspect.AnyType):
            return plain_value(node, text_of=self._text)
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, key=key)
        if isinstance(kind, inspect.StructType):
            return self._tagged(node, [kind], key=key) if kind.tag_field else self._struct(node, kind, key=key)
        if isinstance(kind, _LISTS):
            return self._list(node, kind, key=key)
        if isinstance(kind, inspect.DictType):
            return self._dict(node, kind, key=key)
        if not isinstance(node, Scalar):
            return self._say(node.mark, f"{key} needs one value, not {_what(node)}", remedy or f"write `{key}: VALUE`")
        return self._scalar(node, kind, key=key, remedy=remedy)

    # ---- composed types ----

    def _union(self, node: Node, kind: inspect.UnionType, *, key: str) -> Any:
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if len(options) < len(kind.types) and is_null(node):
            return None
        structs = [option for option in options if isinstance(option, inspect.StructType)]
        if structs and len(structs) == len(options) and structs[0].tag_field:
            return self._tagged(node, structs, key=key)
        if len(options) > 1 and isinstance(node, Scalar):  # int | str and the like: what it looks like decides
            value = resolve(node.text) if node.plain else node.text
            fitting = [option for option in options if _looks_like(option, value)]
            options = fitting or options
        return self._read(node, options[-1] if isinstance(node, Scalar) else options[0], key=key)

    def _tagged(self, node: Node, kinds: list[inspect.StructType], *, key: str) -> Any:
        tag_field = str(kinds[0].tag_field)
        known = {str(kind.tag): kind for kind in kinds}
        tag = node.items.get(tag_field) if isinstance(node, Map) else None
        if tag is None or not isinstance(tag[1], Scalar):
            said = f"this entry of {key} does not say what it is"
            return self._say(node.mark, said, f"begin it with `- {tag_field}:` and one of: {quoted(known)}")
        name = self._text(tag[1])
        if name in known:
            return self._struct(node, known[name], key=name)
        near = nearest(name, known)
        remedy = f'did you mean "{near}"?' if near else f"known are: {quoted(known)}"
        return self._say(tag[1].mark, f'there is no {tag_field} "{name}"', remedy)

    def _struct(self, node: Node, kind: inspect.StructType, *, key: str) -> Any:
        if is_null(node):
            node = Map(node.mark)  # `buffer:` with every line below it commented out
        if not isinstance(node, Map):
            fields = quoted(field.encode_name for field in kind.fields)
            return self._say(node.mark, f"{key} needs keys with values, not {_what(node)}", f"its keys are: {fields}")
        before = len(self._mistakes)
        given = self._fields(node, kind)
        missing = [field for field in kind.fields if field.required and field.encode_name not in given]
        for field in missing:
            said = f'"{field.encode_name}" is missing' + (f" in {key}" if key else "")
            self._say(node.mark, said, f"add `{field.encode_name}: {_example(field.type)}`")
        if missing or any(value is WRONG for value in given.values()):
            return WRONG
        made = self._make(node, kind, given)
        return made if len(self._mistakes) == before else WRONG

    def _fields(self, node: Map, kind: inspect.StructType) -> dict[str, Any]:
        """Read the values of a map by the struct's keys."""
        fields = {field.encode_name: field.type for field in kind.fields}
        secrets = {name + _FILE: name for name, inner in fields.items() if _is_secret(inner)}
        given: dict[str, Any] = {}
        for key, (mark, value) in node.items.items():
            if key == kind.tag_field:
                continue
            if key in fields:
                given[key] = self._read(value, fields[key], key=key)
            elif key in secrets:
                given[secrets[key]] = self._secret_file(value, key=key, is_twice=secrets[key] in node.items)
            else:
                self._say(mark, f'there is no "{key}" here', mend_key(key, [*fields, *secrets], root=self._root))
        return given

    def _make(self, node: Map, kind: inspect.StructType, given: dict[str, Any]) -> Any:
        try:
            tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return msgspec.convert({**tag, **given}, kind.cls)
        except msgspec.ValidationError as error:
            return self._refused(node, error)

    def _refused(self, node: Map, error: msgspec.ValidationError) -> Any:
        said = str(error.__cause__ or error)
        words = [*_PATH_KEY.findall(str(error)), *_WORD.findall(said)]
        place = next((node.items[word] for word in words if word in node.items), None)
        text, _, remedy = said.partition("; ")
        if not remedy:
            text, _, remedy = said.partition(": ") if said.count(": ") == 1 else (said, "", "")
        return self._say(place[1].mark if place else node.mark, text, remedy or "see docs/configuration.md")

    def _list(self, node: Node, kind: Any, *, key: str) -> Any:
        if is_null(node):
            node = Seq(node.mark)
        if not isinstance(node, Seq):
            remedy = f"write `{key}: [{node.text}]`" if isinstance(node, Scalar) else "begin each entry with `- `"
            return self._say(node.mark, f"{key} is a list, not {_what(node)}", remedy)
        least, most = kind.min_length or 0, kind.max_length
        if len(node.items) < least:
            return self._say(node.mark, f"{key} needs at least {least} entry" if least == 1 else f"{key} needs at least {least} entries", f"add `- {_example(kind.item_type)}` to it")
        if most is not None and len(node.items) > most:
            return self._say(node.mark, f"{key} has {len(node.items)} entries", f"{most} are the most")
        values = [self._read(item, kind.item_type, key=key) for item in node.items]
        self._check_names(node, values)
        return WRONG if any(value is WRONG for value in values) else tuple(values)

    def _check_names(self, node: Seq, values: list[Any]) -> None:
        """Refuse a second entry of one name, where entries of a list have names."""
        lines: dict[str, int] = {}
        for item, value in zip(node.items, values, strict=True):
            name = getattr(value, "name", None) if isinstance(value, msgspec.Struct) else None
            if name is None:
                continue
            mark = item.items["name"][1].mark if isinstance(item, Map) and "name" in item.items else item.mark
            if name in lines:
                self._say(mark, f'the name "{name}" is taken by line {lines[name]}', "give each a `name` of its own")
            lines.setdefault(name, mark.line + 1)

    def _dict(self, node: Node, kind: inspect.DictType, *, key: str) -> Any:
        if is_null(node):
            return {}
        if not isinstance(node, Map):
            return self._say(node.mark, f"{key} needs keys with values, not {_what(node)}", "write `KEY: VALUE` below it")
        values = {name: self._read(value, kind.value_type, key=name) for name, (_, value) in node.items.items()}
        return WRONG if any(value is WRONG for value in values.values()) else values
