"""A place in a file, what is wrong there, what to do; and how that is printed.

A mistake is printed as `file:line:column: text`, the line, a caret under the place, and the remedy. What follows a
secret key is never printed, not even in the line of somebody else's mistake.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wire.text import printable

_SHOWN: Final = 100  # characters of a line around the caret
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what YAML counts as the end of a line (1.1, section 4.2)
_SECRET: Final = re.compile(
    r"""((?:password|passphrase|secret|token|community|credential|(?:auth|priv|private)_?key)["']?\s*:\s*)\S.*""",
    re.IGNORECASE,
)


_COPIED: Final = {  # from a web page or a word processor: looks like what settings need, and is not
    "\u00a0": "a no-break space (U+00A0), which looks like a space",
    "\u202f": "a narrow no-break space (U+202F), which looks like a space",
    "\u3000": "a wide space (U+3000), which looks like a space",
    "\u200b": "a space without width (U+200B)",
    "\ufeff": "a byte order mark (U+FEFF), which shows as nothing",
    "\u2018": "a typographic quote (U+2018) instead of '",
    "\u2019": "a typographic quote (U+2019) instead of '",
    "\u201c": 'a typographic quote (U+201C) instead of "',
    "\u201d": 'a typographic quote (U+201D) instead of "',
    "\u2013": "a dash (U+2013) instead of -",
    "\uff1a": "a wide colon (U+FF1A) instead of :",
}
_LOGIN: Final = re.compile(r"(://[^\s/@:]*:)[^\s/@]*@")


def hide_secrets(line: str) -> str:
    """Put `***` where a line of settings holds a secret, or a login in a URL."""
    return _SECRET.sub(r"\1***", _LOGIN.sub(r"\1***@", line))


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: the path as it was given, its lines, and its place in the order of files."""

    path: Path
    lines: tuple[str, ...] = ()
    order: int = 0

    @classmethod
    def of(cls, path: Path, text: str, *, order: int) -> "Source":
        """Split a text into the lines that marks count."""
        return cls(path, tuple(_BREAK.split(text)), order)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place; line and column count from 0, as PyYAML does."""

    source: Source
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; line and column count from 1. `remedy` says what to do, `source` is the line, secrets hidden."""

    file: str
    line: int
    column: int
    text: str
    remedy: str
    source: str = ""
    order: int = 0

    @classmethod
    def at(cls, mark: Mark, text: str, *, remedy: str) -> "Mistake":
        """Make a mistake at a mark."""
        source, line = mark.source, mark.line
        shown = hide_secrets(source.lines[line]) if line < len(source.lines) else ""
        copied = next((column for column, char in enumerate(shown) if char in _COPIED), None)
        if copied is not None:
            remedy = f"in column {copied + 1} stands {_COPIED[shown[copied]]}: type it anew; else: {remedy}"
        return cls(str(source.path), line + 1, mark.column + 1, text, remedy, shown, source.order)

    def __str__(self) -> str:
        said = [printable(f"{self.file}:{self.line}:{self.column}: {self.text}")]
        if self.source.strip():
            start = max(0, self.column - 1 - _SHOWN // 2)
            shown = self.source[start : start + _SHOWN]
            before = printable(shown[: self.column - 1 - start].replace("\t", " "))
            after = printable(shown[self.column - 1 - start :].replace("\t", " "))
            said += [f"    {before}{after}".rstrip(), f"    {' ' * len(before)}^"]
        return "\n".join([*said, f"    -> {printable(self.remedy)}"])


class ConfigError(Exception):
    """Settings with mistakes, all of them, in the order of files, lines and columns."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(dict.fromkeys(mistakes), key=lambda one: (one.order, one.line, one.column))
        super().__init__("\n".join(map(str, self.mistakes)))


class Misplaced(ValueError):
    """Several mistakes inside one struct, each at a place below it. Raised by a `__post_init__`.

    Attributes:
        mistakes: path, what is wrong, what to do. A path is keys and indices of lists; it leads as far as it can, and
            None at its end means the last key itself, not its value.
    """

    def __init__(self, mistakes: list[tuple[tuple[str | int | None, ...], str, str]]) -> None:
        super().__init__("; ".join(text for _, text, _ in mistakes))
        self.mistakes = mistakes


class Unreadable(Exception):
    """A file that gives no nodes, because of one mistake."""

    def __init__(self, mark: Mark, text: str, *, remedy: str) -> None:
        super().__init__(text)
        self.mistake = Mistake.at(mark, text, remedy=remedy)
