"""Nodes against msgspec structs: each value is read as the type its key has, and every mistake is noted.

A node that is wrong gives `WRONG`, and what stands around it is still checked, so that all mistakes come at once.
A struct whose parts are all right is made by `msgspec.convert`; what that still refuses (a `__post_init__` that
raises ValueError) becomes a mistake at the first key of the struct that its text names, else at the struct. Such a
text says what is wrong, and after `; ` what to do.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

from wire.names import is_name
from wire.secret import Secret
from wire.yaml.compose import Map, Node, Refused, Scalar, Seq
from wire.yaml.mistakes import Mark, Misplaced, Mistake, hide_secrets
from wire.yaml.remedies import mend_key, mend_word, nearest, quoted
from wire.yaml.scalars import is_null, resolve
from wire.yaml.values import (
    FILE,
    NAME_REMEDY,
    WRONG,
    Notes,
    bare,
    beside,
    example,
    mend_missing,
    plain_value,
    read_pem_file,
    read_scalar,
    read_secret_file,
    shown,
)

ENTRY: Final = "an entry of "
_WORD: Final = re.compile(r"[a-z0-9_]+", re.ASCII)
_PATH_KEY: Final = re.compile(r" - at `\$\.([a-z0-9_]+)", re.ASCII)
_LOOKS: Final = {bool: inspect.BoolType, int: inspect.IntType, float: inspect.FloatType, str: inspect.StrType}


class Walk:
    """Reads one tree, appending to `mistakes`."""

    def __init__(self, mistakes: list[Mistake], *, env: Mapping[str, str], checks_files: bool) -> None:
        self._notes = Notes(mistakes, env, checks_files=checks_files)
        self._say = self._notes.say
        self._root: inspect.StructType

    def read_root(self, node: Map, kind: type[Any]) -> Any:
        """Give the struct of the whole, or None."""
        root = inspect.type_info(kind)
        assert isinstance(root, inspect.StructType)
        self._root = root
        settings = self._struct(node, root, key="")
        return None if settings is WRONG else settings

    def _read(self, node: Node, kind: inspect.Type, *, key: str) -> Any:
        """Read a node as a type; `key` is the name it goes by in sentences."""
        extra = (kind.extra or {}) if isinstance(kind, inspect.Metadata) else {}
        remedy = extra.get("remedy")
        kind = bare(kind)
        if isinstance(node, Refused):
            return WRONG
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, key=key)
        if isinstance(kind, inspect.StructType):
            return self._tagged(node, [kind], key=key) if kind.tag_field else self._struct(node, kind, key=key)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(node, kind, key=key)
        if isinstance(kind, inspect.DictType):
            return self._dict(node, kind, key=key)
        if isinstance(kind, inspect.AnyType):
            return plain_value(node, text_of=self._notes.text)
        if not isinstance(node, Scalar):
            return self._say(node.mark, f"{key} is one value, not {shown(node)}", remedy or f"write `{key}: VALUE`")
        value = read_scalar(node, kind, self._notes, key=key, remedy=remedy)
        if not isinstance(value, str):
            return value
        if extra.get("is_pem"):
            return read_pem_file(node, value, self._notes, key=key)
        return str(beside(node, value, self._notes)) if extra.get("is_file") else value

    def _union(self, node: Node, kind: inspect.UnionType, *, key: str) -> Any:
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if len(options) < len(kind.types) and is_null(node):
            return None
        structs = [option for option in options if isinstance(option, inspect.StructType) and option.tag_field]
        if structs and len(structs) == len(options):
            return self._tagged(node, structs, key=key)
        return self._read(node, _fitting(node, options), key=key)

    def _tagged(self, node: Node, kinds: Sequence[inspect.StructType], *, key: str) -> Any:
        tag_field = str(kinds[0].tag_field)
        known = {str(kind.tag): kind for kind in kinds}
        tag = node.items.get(tag_field) if isinstance(node, Map) else None
        if isinstance(node, Map) and not node.is_whole and (tag is None or isinstance(tag[1], Refused)):
            return WRONG  # it may stand behind the syntax mistake
        if tag is None or not isinstance(tag[1], Scalar):
            said = f"{key} does not say what it is"
            return self._say(node.mark, said, f"begin it with `{tag_field}:` and one of: {quoted(known)}")
        name = self._notes.text(tag[1])
        if name in known:
            return self._struct(node, known[name], key=name)
        return self._say(tag[1].mark, f'there is no {tag_field} "{name}"', mend_word(name, list(known)))

    def _struct(self, node: Node, kind: inspect.StructType, *, key: str) -> Any:
        if is_null(node):
            node = Map(node.mark)  # `buffer:` with every line below it commented out
        if not isinstance(node, Map):
            return self._say(
                node.mark, f"{key} is keys with values, not {shown(node)}", _mend_struct(node, kind, key=key)
            )
        before = len(self._notes.mistakes)
        given = self._fields(node, kind)
        missing = [field for field in kind.fields if field.required and field.encode_name not in given]
        known = [field.encode_name for field in kind.fields]
        meant = {nearest(key, known) for key in node.items if key not in known}
        for field in missing:
            if field.encode_name not in meant and node.is_whole:  # else it is said where it is misspelt, or may come
                said = f'"{field.encode_name}" is missing' + (f" in {key}" if key else "")
                self._say(node.mark, said, mend_missing(field.encode_name, field.type))
        if missing or not node.is_whole or any(value is WRONG for value in given.values()):
            return WRONG
        made = self._make(node, kind, given)
        return made if len(self._notes.mistakes) == before else WRONG

    def _fields(self, node: Map, kind: inspect.StructType) -> dict[str, Any]:
        """Read the values of a map by the struct's keys."""
        fields = {field.encode_name: field.type for field in kind.fields}
        secrets = {name + FILE: name for name, inner in fields.items() if _is_secret(inner)}
        given: dict[str, Any] = {}
        for key, (mark, value) in node.items.items():
            bare_key = secrets.get(key)
            if bare_key in node.items:
                self._say(mark, f"{bare_key} and {key} both stand here", "keep one of the two")
            elif bare_key is not None:
                given[bare_key] = read_secret_file(value, self._notes, key=key)
            elif key in fields:
                given[key] = self._read(value, fields[key], key=key)
            elif key != kind.tag_field:
                self._say(mark, f'there is no "{key}" here', mend_key(key, [*fields, *secrets], root=self._root))
        return given

    def _make(self, node: Map, kind: inspect.StructType, given: dict[str, Any]) -> Any:
        try:
            tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return msgspec.convert({**tag, **given}, kind.cls)
        except msgspec.ValidationError as error:
            return self._refused(node, error)

    def _refused(self, node: Map, error: msgspec.ValidationError) -> Any:
        if isinstance(error.__cause__, Misplaced):
            for path, text, remedy in error.__cause__.mistakes:
                self._say(_mark_at(node, path), text, remedy)
            return WRONG
        said = str(error.__cause__ or error)
        words = [*_PATH_KEY.findall(str(error)), *_WORD.findall(said)]
        place = next((node.items[word][1] for word in words if word in node.items), node)
        text, _, remedy = said.partition("; ")
        return self._say(place.mark, text, remedy or "docs/configuration.md lists what may stand here")

    def _list(self, node: Node, kind: inspect.VarTupleType, *, key: str) -> Any:
        if is_null(node):
            node = Seq(node.mark)
        if not isinstance(node, Seq):
            remedy = f"write `{key}: [{node.text}]`" if isinstance(node, Scalar) else "begin each entry with `- `"
            return self._say(node.mark, f"{key} is a list, not {shown(node)}", remedy)
        if len(node.items) < (kind.min_length or 0) and node.is_whole:
            remedy = f"add `- {example(kind.item_type)}` below it, at least {kind.min_length}"
            return self._say(node.mark, f"{key} has {len(node.items) or 'no'} entries", remedy)
        if kind.max_length is not None and len(node.items) > kind.max_length:
            return self._say(node.mark, f"{key} has {len(node.items)} entries", f"at most {kind.max_length}")
        values = [self._read(item, kind.item_type, key=f"{ENTRY}{key}") for item in node.items]
        self._check_names(node, values)
        return WRONG if any(value is WRONG for value in values) else tuple(values)

    def _check_names(self, node: Seq, values: list[Any]) -> None:
        """Refuse a second entry of one name, where entries of a list have names."""
        lines: dict[str, int] = {}
        for item, value in zip(node.items, values, strict=True):
            if not isinstance(item, Map):
                continue
            given = item.items.get("name", (None, None))[1]
            name = (
                value.name if hasattr(value, "name") else self._notes.text(given) if isinstance(given, Scalar) else None
            )
            if name is None:
                continue
            mark = item.items["name"][1].mark if "name" in item.items else item.mark
            if name in lines:
                self._say(mark, f'the name "{name}" is taken in line {lines[name]}', "give each a `name` of its own")
            elif not is_name(name) and not self._notes.has_said(mark):
                self._say(mark, f'name cannot be "{name}"', NAME_REMEDY)
            lines.setdefault(name, mark.line + 1)

    def _dict(self, node: Node, kind: inspect.DictType, *, key: str) -> Any:
        if is_null(node):
            return {}
        if not isinstance(node, Map):
            return self._say(node.mark, f"{key} is keys with values, not {shown(node)}", "write `KEY: VALUE` below it")
        values = {name: self._read(value, kind.value_type, key=name) for name, (_, value) in node.items.items()}
        return WRONG if any(value is WRONG for value in values.values()) else values


def _mend_struct(node: Node, kind: inspect.StructType, *, key: str) -> str:
    """Say what to write where one value stands in the place of keys: in a list it is mostly the first key's."""
    required = [field.encode_name for field in kind.fields if field.required]
    if isinstance(node, Scalar) and key.startswith(ENTRY) and len(required) == 1:
        return f"write `{required[0]}: {hide_secrets(node.text)}`"
    return f"its keys are: {quoted(field.encode_name for field in kind.fields)}"


def _fitting(node: Node, options: Sequence[inspect.Type]) -> inspect.Type:
    """Choose among the types of a union (int | str and the like) by what a node looks like."""
    if isinstance(node, Scalar) and len(options) > 1:
        look = _LOOKS.get(type(resolve(node.text) if node.plain else node.text), inspect.StrType)
        return _first(options, look) or _first(options, inspect.StrType) or options[-1]
    return (_first(options, inspect.VarTupleType) if isinstance(node, Seq) else None) or options[0]


def _first(options: Sequence[inspect.Type], look: type[Any]) -> inspect.Type | None:
    return next((option for option in options if isinstance(bare(option), look)), None)


def _mark_at(node: Node, path: Sequence[str | int | None]) -> Mark:
    """Follow a path as far as it leads; None at its end is the key that led there, not its value."""
    mark = node.mark
    for step in path:
        if isinstance(node, Map) and isinstance(step, str) and step in node.items:
            key_mark, node = node.items[step]
            mark = key_mark if path[-1] is None else node.mark
        elif isinstance(node, Seq) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
            mark = node.mark
    return mark


def _is_secret(kind: inspect.Type) -> bool:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(option, inspect.CustomType) and option.cls is Secret for option in options)
