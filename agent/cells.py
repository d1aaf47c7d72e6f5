"""Text in terminal cells: how wide it is, how to cut it, how to colour it. Plain ANSI, no library.

Whatever passes `clean` or `fit` holds no control character, so no name that a device made up can move the cursor,
change a colour or break a line. Colour is an ornament: every meaning also stands there as a word or a sign.
"""

import os
import unicodedata
from collections.abc import Sequence
from typing import Final, TextIO

from wire.text import printable

WIDTH: Final = 80
COLOURS: Final = {"good": "32", "warn": "33;1", "bad": "31;1", "title": "1", "quiet": "2", "accent": "36"}
_ELLIPSIS: Final = "…"


def clean(value: object) -> str:
    """Give a value as one line without control characters and without lone surrogates."""
    return printable(str(value)).encode("utf-8", "replace").decode()


def cells(text: str) -> int:
    """Count the columns that a terminal needs for `text`; east Asian wide characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def fit(value: object, width: int) -> str:
    """Clean a value and cut it to `width` cells, `…` standing for what was cut."""
    text = clean(value)
    if cells(text) <= width:
        return text
    used, kept = 0, []
    for char in text:
        used += _width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + _ELLIPSIS if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Fill a fitted text with spaces up to `width` cells, on its left if `right`."""
    room = " " * max(0, width - cells(text))
    return room + text if right else text + room


def wrap(value: object, width: int, *, indent: str = "") -> list[str]:
    """Break a sentence at spaces into lines of at most `width` cells, each after `indent`; a long word is cut."""
    lines, line = [], indent
    for word in clean(value).split():
        piece = fit(word, width - cells(indent))
        glue = "" if line == indent else " "
        if cells(line) + len(glue) + cells(piece) > width:
            lines.append(line)
            line, glue = indent, ""
        line += glue + piece
    return [*lines, line] if line != indent else lines


def paint(text: str, colour: str, *, is_coloured: bool) -> str:
    """Put a colour of `COLOURS` around a text that was fitted before."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if is_coloured and colour else text


def table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Set rows in columns, two spaces between; a negative width aligns right. Nothing is wider than its column."""
    return ["  ".join(_cell(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(text: str, width: int) -> str:
    return pad(fit(text, abs(width)), abs(width), right=width < 0)


def wants_colour(stream: TextIO) -> bool:
    """Tell whether to colour: a terminal, and neither NO_COLOR (no-color.org) nor TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
