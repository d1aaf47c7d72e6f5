"""One scalar against one plain type: text, number, true or false, one of some words, a secret.

A value is read as the type its key has: `password: 0514` is the text 0514, `port: 0514` the number 514.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import inspect

from wire.names import NAME
from wire.secret import Secret
from wire.yaml.compose import Map, Node, Refused, Scalar, Seq, read_at_most
from wire.yaml.mistakes import Mark, Mistake
from wire.yaml.remedies import mend_number, mend_word
from wire.yaml.scalars import fill, is_filled, is_null, resolve

WRONG: Final[Any] = object()
"""What a wrong node gives, so that what stands around it is still checked."""

NAME_REMEDY: Final = "1 to 63 of a-z, 0-9 and -, beginning with a letter or a digit"
Name = Annotated[str, msgspec.Meta(pattern=f"^{NAME.pattern}$", extra={"remedy": NAME_REMEDY})]
"""An agent, a site, a receiver, a group: safe in a topic, in a path and on a screen (`wire/names.py`)."""

FILE: Final = "_file"
_MAX_SECRET_BYTES: Final = 1 << 16
_MAX_PEM_BYTES: Final = 1 << 20  # the CAs of a whole system are 230 KiB
_MAX_SHOWN: Final = 40
_INT64: Final = 1 << 63
_LISTS: Final = (inspect.VarTupleType, inspect.ListType, inspect.SetType, inspect.FrozenSetType)


class Notes:
    """Takes down mistakes, and knows the environment that fills `${NAME}`."""

    def __init__(self, mistakes: list[Mistake], env: Mapping[str, str], *, checks_files: bool = False) -> None:
        self.mistakes = mistakes
        self.env = env
        self.checks_files = checks_files

    def say(self, mark: Mark, text: str, remedy: str) -> Any:
        """Note a mistake; gives `WRONG`."""
        self.mistakes.append(Mistake.at(mark, text, remedy=remedy))
        return WRONG

    def has_said(self, mark: Mark) -> bool:
        """Tell whether a mistake stands at a mark already."""
        place = (mark.source.order, mark.line + 1, mark.column + 1)
        return any(place == (one.order, one.line, one.column) for one in self.mistakes)

    def text(self, node: Scalar) -> str:
        """Give the text of a scalar with the environment filled in."""

        def missing(name: str) -> None:
            said = f"the environment has no {name}"
            self.say(node.mark, said, "set it where edgepost is started, or write the value here")

        return fill(node.text, self.env, missing=missing)


def read_scalar(node: Scalar, kind: inspect.Type, notes: Notes, *, key: str, remedy: str | None) -> Any:
    """Read a scalar as a type, or note the mistake and give `WRONG`; `remedy` is the type's own."""
    before = len(notes.mistakes)
    text = notes.text(node)
    if len(notes.mistakes) > before:
        return WRONG
    if is_null(node):
        return notes.say(node.mark, f"{key} has no value", remedy or f"write `{key}: {example(kind)}`")
    wrong = _Wrong(node, notes, key=key)
    if isinstance(kind, inspect.CustomType) and kind.cls is Secret:
        return Secret(text)
    if isinstance(kind, inspect.StrType):
        return _read_text(text, kind, wrong, remedy=remedy)
    if isinstance(kind, inspect.LiteralType):
        return _read_word(text, kind, wrong)
    value = resolve(text) if node.plain else text
    if isinstance(kind, inspect.BoolType):
        return value if isinstance(value, bool) else wrong("is true or false", "write true or false, without quotes")
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _read_number(value, kind, wrong)
    raise TypeError(f"{key}: settings have no values of type {kind}")


class _Wrong:
    """Says of one scalar what is wrong with it."""

    def __init__(self, node: Scalar, notes: Notes, *, key: str) -> None:
        self.node = node
        self.key = key
        self._notes = notes

    def __call__(self, claim: str, remedy: str) -> Any:
        return self._notes.say(self.node.mark, f"{self.key} {claim}, not {shown(self.node)}", remedy)

    def cannot_be(self, remedy: str) -> Any:
        return self._notes.say(self.node.mark, f"{self.key} cannot be {shown(self.node)}", remedy)


def _read_text(text: str, kind: inspect.StrType, wrong: _Wrong, *, remedy: str | None) -> Any:
    if kind.pattern is not None and (not re.search(kind.pattern, text) or "\n" in text):  # `$` lets one pass
        if "$" in wrong.node.text and not is_filled(wrong.node.text):
            remedy = "write ${NAME} for what the environment holds; there are no defaults and no $NAME"
        return wrong.cannot_be(remedy or f"it must match {kind.pattern}")
    if len(text) < (kind.min_length or 0):
        return wrong.cannot_be(remedy or f"at least {kind.min_length} characters")
    if kind.max_length is not None and len(text) > kind.max_length:
        return wrong.cannot_be(remedy or f"at most {kind.max_length} characters, these are {len(text)}")
    return text


def _read_word(text: str, kind: inspect.LiteralType, wrong: _Wrong) -> Any:
    node = wrong.node
    for value in kind.values:
        if text == value or (node.plain and resolve(text) == value and isinstance(value, int)):
            return value
    if text in map(str, kind.values):
        return wrong.cannot_be(f"write {text}, without quotes")
    return wrong.cannot_be(mend_word(text, [str(value) for value in kind.values]))


def _read_number(value: Any, kind: inspect.IntType | inspect.FloatType, wrong: _Wrong) -> Any:
    is_int = isinstance(kind, inspect.IntType)
    if isinstance(value, bool) or not isinstance(value, int if is_int else (int, float)):
        return wrong(
            "is a whole number" if is_int else "is a number",
            mend_number(wrong.key, wrong.node.text, was_plain=wrong.node.plain),
        )
    if abs(value) >= _INT64 or not math.isfinite(value):
        return wrong.cannot_be("no setting is that large")
    limit = _broken_limit(value, kind)
    if limit:
        return wrong.cannot_be(limit)
    return value if is_int else float(value)


def _broken_limit(value: float, kind: inspect.IntType | inspect.FloatType) -> str | None:
    low = f"at least {kind.ge}" if kind.ge is not None else f"more than {kind.gt}"
    high = f"at most {kind.le}" if kind.le is not None else f"less than {kind.lt}"
    is_low = (kind.ge is not None and value < kind.ge) or (kind.gt is not None and value <= kind.gt)
    is_high = (kind.le is not None and value > kind.le) or (kind.lt is not None and value >= kind.lt)
    return low if is_low else high if is_high else None


def read_secret_file(node: Node, notes: Notes, *, key: str) -> Any:
    """Read the secret in the file that `key` names, without its last line break."""
    if not isinstance(node, Scalar) or is_null(node):
        return notes.say(node.mark, f"{key} needs the path of a file", f"write `{key}: PATH`")
    path = beside(node, notes.text(node), notes)
    try:
        data = read_at_most(path, _MAX_SECRET_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        return notes.say(node.mark, f"{path} cannot be read: {error.strerror}", "check the path, and who may read it")
    except ValueError:
        return notes.say(node.mark, f"{path} is not UTF-8", "put just the secret into it, as text")
    if not text.strip() or len(data) > _MAX_SECRET_BYTES:
        said = "is empty" if not text.strip() else f"is larger than {_MAX_SECRET_BYTES} bytes"
        return notes.say(node.mark, f"{path} {said}", "put just the secret into it")
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def beside(node: Scalar, path: str, notes: Notes) -> Path:
    """Give the place of a file that the settings name: a relative one lies where credentials are, else beside the YAML."""
    return Path(notes.env.get("CREDENTIALS_DIRECTORY") or node.mark.source.path.parent) / path


def read_pem_file(node: Scalar, text: str, notes: Notes, *, key: str) -> Any:
    """Give the path of a file with certificates or a key; that it can be used is checked where `notes` asks for it.

    A running agent finds out by itself, shows it, and tries again: the file may be renewed at this moment.
    """
    path = beside(node, text, notes)
    if not notes.checks_files:
        return str(path)
    try:
        is_pem = b"-----BEGIN " in read_at_most(path, _MAX_PEM_BYTES)
    except OSError as error:
        said = f"{key}: {path} cannot be read: {error.strerror}"
        return notes.say(node.mark, said, "check the path, and that the user of edgepost may read it")
    if not is_pem:
        return notes.say(
            node.mark, f"{key}: {path} is no PEM", "give one that begins with -----BEGIN; openssl makes it of DER"
        )
    return str(path)


def shown(node: Node) -> str:
    """Name a node in a sentence; a text stands in quotes, so that "5" and 5 differ."""
    if not isinstance(node, Scalar):
        return "a list" if isinstance(node, Seq) else "keys with values"
    text = node.text if len(node.text) <= _MAX_SHOWN else node.text[:_MAX_SHOWN] + "..."
    return f'"{text}"' if not node.plain or isinstance(resolve(node.text), str) else text


def bare(kind: inspect.Type) -> inspect.Type:
    """Take off what `Annotated` put around a type."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def example(kind: inspect.Type) -> str:
    """Give a stand-in for a value of a type, for a remedy."""
    kind = bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return str(kind.values[0])
    if isinstance(kind, inspect.StructType):
        required = [field for field in kind.fields if field.required]
        return f"{kind.tag_field or (required or kind.fields)[0].encode_name}: ..."
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return "NUMBER"
    return "[...]" if isinstance(kind, _LISTS) else "..."


def mend_missing(key: str, kind: inspect.Type) -> str:
    """Say how to add a key that is missing."""
    kind = bare(kind)
    if isinstance(kind, inspect.StructType):
        return f"add `{key}:` and below it, indented, `{example(kind)}`"
    if isinstance(kind, inspect.VarTupleType):
        return f"add `{key}:` and below it, indented, `- {example(kind.item_type)}`"
    return f"add `{key}: {example(kind)}`"


def plain_value(node: Node, *, text_of: Callable[[Scalar], str]) -> Any:
    """Give a node as plain Python values, for settings whose form is free."""
    if isinstance(node, Seq):
        return [plain_value(item, text_of=text_of) for item in node.items]
    if isinstance(node, Refused):
        return None
    if isinstance(node, Map):
        return {key: plain_value(item, text_of=text_of) for key, (_, item) in node.items.items()}
    return resolve(text_of(node)) if node.plain else text_of(node)
