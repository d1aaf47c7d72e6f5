"""What the demo shows: rows as they arrive at the center above, the agent's status below.

The rows are read from the files that the receiver's sink `ndjson` writes, so what is seen has gone the whole way:
socket, buffer, broker, receiver, disk.
"""

import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.cells import WIDTH, fit, paint, wants_colour
from agent.client import row_text
from agent.screen import account_of, draw

_UNSHOWN: Final = frozenset(
    {"site", "agent", "epoch", "lane", "seq", "row", "port", "transport", "identity", "facility", "format", "raw_b64"}
)  # the envelope, and what a small screen can do without: it is in the file
_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # the terminal's other screen, cursor hidden (xterm control sequences)
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"
_STATUS_SECONDS: Final = 5.0  # between status lines where there is no terminal
_ROWS_AT_ONCE: Final = 20  # printed per look where there is no terminal; the rest is counted


class Arrivals:
    """Reads NDJSON files as they grow, wherever they are below a folder; knows a renamed file by its inode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes: dict[int, int] = {}
        self.rows = 0

    def new(self) -> list[dict[str, Any]]:
        """Give the whole rows that have come since the last call."""
        rows = [json.loads(line) for path in sorted(self._folder.glob("**/*.ndjson*")) for line in self._lines(path)]
        self.rows += len(rows)
        return rows

    def _lines(self, path: Path) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                file.seek(self._read_bytes.get(inode, 0))
                data = file.read()
        except OSError:
            return  # rotated between listing and opening; found again under its new name
        whole, newline, _ = data.rpartition(b"\n")
        self._read_bytes[inode] = self._read_bytes.get(inode, 0) + len(whole) + len(newline)
        yield from filter(None, whole.split(b"\n"))


def arrived_text(row: Mapping[str, Any], *, width: int, is_coloured: bool = False) -> str:
    """One line for a row at the center: who, how bad, what."""
    bare = {key: value for key, value in row.items() if key not in _UNSHOWN and value is not None}
    text = fit(row_text(bare), width)
    severity = row.get("severity")
    return paint(text, "bad" if isinstance(severity, int) and severity <= 3 else "", is_coloured=is_coloured)


class Screen:
    """A live screen on a terminal, plain lines elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._is_live = sys.stdout.isatty()
        self._is_coloured = wants_colour(sys.stdout)
        self._last: deque[Mapping[str, Any]] = deque(maxlen=200)
        self._status_at = time.monotonic() + 1

    def enter(self) -> None:
        """Take the terminal."""
        if self._is_live:
            self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was."""
        if self._is_live:
            self._write(_LEAVE)

    def show(self, new: list[dict[str, Any]], facts: Mapping[str, Any] | None) -> None:
        """Show rows that have just arrived, and the newest facts of the agent."""
        self._last.extend(new)
        if self._is_live:
            self._draw(facts)
        else:
            self._print(new, facts)

    def _draw(self, facts: Mapping[str, Any] | None) -> None:
        size = shutil.get_terminal_size()
        width = size.columns - 1
        status = draw(facts, is_coloured=self._is_coloured).splitlines() if facts else ["the agent is starting ..."]
        room = max(3, size.lines - len(status) - 3)
        rows = [arrived_text(row, width=width, is_coloured=self._is_coloured) for row in list(self._last)[-room:]]
        lines = [
            paint(fit(self._title, width), "title", is_coloured=self._is_coloured),
            *rows,
            *[""] * (room - len(rows)),
            paint("─" * min(width, WIDTH), "quiet", is_coloured=self._is_coloured),
            *status,
        ]
        self._write(_HOME + "\n".join(line + _REST_OF_LINE for line in lines[: size.lines - 1]) + _REST_OF_SCREEN)

    def _print(self, new: list[dict[str, Any]], facts: Mapping[str, Any] | None) -> None:
        for row in new[-_ROWS_AT_ONCE:]:
            self._write(arrived_text(row, width=2 * WIDTH) + "\n")
        if len(new) > _ROWS_AT_ONCE:
            self._write(f"... and {len(new) - _ROWS_AT_ONCE:,} rows more\n")
        if facts and time.monotonic() >= self._status_at:
            self._status_at = time.monotonic() + _STATUS_SECONDS
            self._write(summary(facts) + "\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def summary(facts: Mapping[str, Any]) -> str:
    """The status in one line."""
    total = {key: sum(sums[key] for sums in account_of(facts).values()) for key in ("received", "confirmed", "held")}
    problems = "; ".join(str(problem["what"]) for problem in facts.get("problems", ()))
    words = f"-- {facts['health']}: received {total['received']:,}, confirmed {total['confirmed']:,}, held {total['held']:,}"
    return fit(f"{words}{'; ' if problems else ''}{problems}", 2 * WIDTH)
