"""Text to values by the core schema of YAML 1.2 (section 10.3.2), and `${ENV}` inside texts.

What is not written like a null, a bool or a number is text: `NO`, `on`, `1:30`, `1_000`, `2GiB`. `0514` is 514.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from wire.yaml.compose import Node, Scalar

_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_MAX_DIGITS: Final = 400  # no finite float has more; int() of thousands of digits is slow, and limited by Python itself
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_ENV: Final = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)

Scalars = str | int | float | bool | None


def resolve(text: str) -> Scalars:
    """Give what a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
    return float(text) if _FLOAT.fullmatch(text) else text


def fill(text: str, env: Mapping[str, str], *, missing: Callable[[str], None]) -> str:
    """Replace each `${NAME}` once; `$${NAME}` stays `${NAME}`. `missing` is told each name the environment lacks."""

    def replace(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match[0][1:]
        if name not in env:
            missing(name)
        return env.get(name, "")

    return _ENV.sub(replace, text)


def is_filled(text: str) -> bool:
    """Tell whether something in a text is replaced from the environment."""
    return _ENV.search(text) is not None


def is_null(node: Node) -> bool:
    """Tell whether nothing was written: `key:`, `key: ~`, `key: null`."""
    return isinstance(node, Scalar) and node.plain and resolve(node.text) is None
