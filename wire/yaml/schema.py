"""Structs to JSON Schema, for editors: types and limits from the annotations, descriptions from the docstrings.

A field's description stands in its struct's docstring, in the section `Attributes:`, as `key: sentence`.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from wire.secret import Secret

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE: Final = re.compile(r"^    ([a-z_][a-z0-9_]*): (.*(?:\n {8,}.*)*)", re.ASCII | re.MULTILINE)


def json_schema(kind: type[Any], *, title: str) -> dict[str, Any]:
    """Give the schema of a settings file whose whole is `kind`."""
    (schema,), parts = msgspec.json.schema_components(
        (kind,), schema_hook=_secret_schema, ref_template="#/$defs/{name}"
    )
    for struct in structs_of(kind):
        _describe(parts[struct.__name__], struct)
    return {"$schema": _DIALECT, "title": title, **schema, "$defs": parts}


def structs_of(kind: type[Any]) -> list[type[Any]]:
    """List a struct and every struct below it, each once."""
    found = {kind: None}
    for struct in _below(msgspec.inspect.type_info(kind)):
        found[struct] = None
    return list(found)


def _below(kind: Any) -> Iterator[type[Any]]:
    if isinstance(kind, msgspec.inspect.Metadata):
        yield from _below(kind.type)
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind.cls
        for field in kind.fields:
            yield from _below(field.type)
    for inner in (*getattr(kind, "types", ()), getattr(kind, "item_type", None), getattr(kind, "value_type", None)):
        if inner is not None:
            yield from _below(inner)


def descriptions(struct: type[Any]) -> dict[str, str]:
    """Read what a struct's docstring says about each of its fields."""
    text = inspect.cleandoc(struct.__doc__ or "")
    return {key: " ".join(said.split()) for key, said in _ATTRIBUTE.findall(text)}


def _describe(part: dict[str, Any], struct: type[Any]) -> None:
    part["description"] = inspect.cleandoc(struct.__doc__ or "").partition("\n")[0]
    part["properties"] |= {key: part["properties"][key] | form for key, form in _forms(struct)}
    said = descriptions(struct)
    for key, form in list(part["properties"].items()):
        if key in said:
            form["description"] = said[key]
        if _is_secret(form):
            text = f"path of a file that holds `{key}`; relative to $CREDENTIALS_DIRECTORY, else to this file"
            part["properties"][f"{key}_file"] = {"type": "string", "description": text}


def _forms(struct: type[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what fields say of their form themselves (`Meta(extra={"schema": ...})`), where types cannot say it."""
    kind = msgspec.inspect.type_info(struct)
    assert isinstance(kind, msgspec.inspect.StructType)
    for field in kind.fields:
        extra = field.type.extra if isinstance(field.type, msgspec.inspect.Metadata) else None
        if extra and "schema" in extra:
            yield field.encode_name, extra["schema"]


def _is_secret(form: dict[str, Any]) -> bool:
    return any(option.get("format") == "password" for option in (form, *form.get("anyOf", ())))


def _secret_schema(kind: type[Any]) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password"}
    raise NotImplementedError(f"{kind} has no schema")
