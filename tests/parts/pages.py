"""The pages of docs/, as tests read them: tables by their header, sections by their heading, what stands in code."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parents[2]
DOCS = TREE / "docs"


class Table(NamedTuple):
    """One table: the heading above it, the cells of its header, and of each row."""

    heading: str
    header: list[str]
    rows: list[list[str]]

    def names(self, column: int = 0) -> list[str]:
        """What stands in code in one column, in order."""
        return [name for cells in self.rows for name in in_code(cells[column])]


@cache
def page(name: str) -> str:
    """The text of a page below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """Give the cells of every table row."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield cells_of(line)


def cells_of(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def in_code(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def documented(text: str) -> dict[str, list[list[str]]]:
    """Give the rows of a page by what stands in code in their first cell."""
    found: dict[str, list[list[str]]] = {}
    for cells in rows(text):
        for name in in_code(cells[0]):
            found.setdefault(name, []).append(cells)
    return found


def tables(text: str, first: str) -> list[Table]:
    """Give the tables whose first column is headed by one word."""
    found: list[Table] = []
    heading, table = "", None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            table = None
        elif table is None:
            table = Table(heading, cells_of(line), [])
            found.append(table)
        elif not line.startswith("|-"):
            table.rows.append(cells_of(line))
    return [table for table in found if table.header[0] == first]


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level; nothing if there is none."""
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    return next((body for title, body in zip(parts[1::2], parts[2::2], strict=True) if title == heading), "")
