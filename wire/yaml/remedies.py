"""What to do about a mistake: the nearest valid key, the place where a key belongs, a size in plain bytes."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)[ _]*([A-Za-z]+)", re.ASCII)
_UNITS: Final[dict[str, dict[str, float]]] = {
    "bytes": {
        "b": 1,
        "k": 1 << 10,
        "kb": 1000,
        "kib": 1 << 10,
        "m": 1 << 20,
        "mb": 1000**2,
        "mib": 1 << 20,
        "g": 1 << 30,
        "gb": 1000**3,
        "gib": 1 << 30,
        "t": 1 << 40,
        "tb": 1000**4,
        "tib": 1 << 40,
    },
    "seconds": {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
}
_SYNTAX: Final = (  # PyYAML's words for it, ours, what to do
    ("cannot start any token", "'\\t'", "a tab stands here", "indent with spaces"),
    ("cannot start any token", "", "this character cannot begin a value", "put the value into quotes"),
    ("mapping values are not allowed", "", "a second `key:` in one value", "check the indentation, or quote the value"),
    ("unexpected end of stream", "", "this quote is never closed", "close it"),
    ("expected ',' or ']'", "", "the [ of line {opened} is not closed", "close it with ], or put commas between"),
    ("expected ',' or '}'", "", "the {{ of line {opened} is not closed", "close it with }}, or put commas between"),
    ("expected the node content", "','", "a comma stands here, and nothing before it", "remove the comma"),
    ("expected the node content", "", "a value cannot begin like this", "put it into quotes"),
    ("expected <block end>", "", "this does not stand where it belongs", "check the indentation, or quote the value"),
    ("could not find expected ':'", "", "this is no `key: value`", "put a colon and a space after the key"),
    ("unknown escape", "", "a backslash between double quotes begins an escape", "use single quotes"),
    (
        "expected chomping or indentation",
        "",
        "a text cannot begin like this",
        "a text that begins with > or | needs quotes",
    ),
    (
        "expected alphabetic or numeric",
        "",
        "a text cannot begin like this",
        "a text that begins with * or & needs quotes",
    ),
    ("undefined alias", "", "an alias is not used in settings", "a text that begins with * needs quotes"),
)
_AT_START: Final = frozenset({"unexpected end of stream", "could not find expected ':'"})
_MERGE: Final = "merge keys are not used: write the keys out, or lay files over each other by `include`"
_DECIMAL: Final = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_GROUPED: Final = re.compile(r"([0-9]{1,3})((?:[_,'.][0-9]{3})+)", re.ASCII)


def quoted(names: Iterable[str]) -> str:
    """List names for a sentence."""
    return ", ".join(names)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that was probably meant."""
    options = {option.lower().replace("-", "_"): option for option in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), options, n=1, cutoff=0.6)
    return options[close[0]] if close else None


def mend_key(name: str, known: list[str], *, root: msgspec.inspect.StructType) -> str:
    """Say what to write instead of a key that is not known here."""
    if name == "<<":
        return _MERGE
    places = [place for place, key in _keys(root, ()) if key == name]
    if places:
        where = " or ".join(f"under `{place}`" if place else "at the top" for place in dict.fromkeys(places))
        return f'"{name}" belongs {where}'
    near = nearest(name, known)
    if near:
        return f'did you mean "{near}"?'
    return f"known here: {quoted(known)}"


def mend_word(word: str, known: list[str]) -> str:
    """Say which word to write instead of one that is not known."""
    near = nearest(word, known)
    return f'did you mean "{near}"?' if near else f"one of: {quoted(known)}" if known[1:] else f"write {known[0]}"


def _keys(kind: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Walk every key of a struct and below, as (path of its map, key)."""
    kind = getattr(kind, "type", kind) if isinstance(kind, msgspec.inspect.Metadata) else kind
    if isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield ".".join(path), field.encode_name
            yield from _keys(field.type, (*path, field.encode_name))
    for inner in (*getattr(kind, "types", ()), getattr(kind, "item_type", None)):
        if inner is not None:
            yield from _keys(inner, path)


def mend_number(key: str, text: str, *, was_plain: bool) -> str:
    """Say how to write a number that came as text: `limit_bytes: 2GiB` is 2147483648."""
    unit = key.rpartition("_")[2]
    amount = _AMOUNT.fullmatch(text.strip())
    factor = _UNITS.get(unit, {}).get(amount[2].lower()) if amount else None
    if amount and factor:
        value = float(amount[1]) * factor
        return f"write {int(value) if value.is_integer() else value}: the unit stands in the key"
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) and not was_plain:
        return f"write {text}, without quotes"
    if _GROUPED.fullmatch(text):
        return f"write {re.sub('[^0-9]', '', text)}, without marks between the digits"
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return f"write {int(number)}" if number.is_integer() and abs(number) < 1 << 63 else "write a whole number"
    return "write digits, without quotes and without a unit"


def mend_syntax(problem: str, context: str, *, opened: int | None) -> tuple[str, str, bool]:
    """Put PyYAML's words into ours: what is wrong, what to do, and whether to look where it began."""
    for words, more, text, remedy in _SYNTAX:
        if words in problem and more in problem:
            return text.format(opened=opened), remedy.format(), words in _AT_START
    said = f"not YAML: {problem}{f' {context}' if context else ''}"
    return said, "check the indentation, and quotes around texts", False
