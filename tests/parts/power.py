"""What a power cut may leave of files: all that was synced, and of the rest nothing, all, or pieces.

    record of writes and syncs (parts/vfs.py) ──► Medium ──cut──► contents of each file

The model: a sync makes all earlier writes to its file durable, and nothing else does. What was not synced may be on
the disk whole, in part, in any order, torn between sectors. A sync that failed has lost what it was to make durable,
even if a later one succeeds (Linux marks such pages clean). A deletion is durable once the folder is synced, which
SQLite's unix layer does with the first sync of a journal or WAL that it has made.
"""

import random
from pathlib import Path

from parts.vfs import Entry

SECTOR = 512
HOW = ("nothing", "everything", "a beginning", "pieces")  # of what was not synced


class _File:
    def __init__(self) -> None:
        self.durable: bytearray | None = None  # None: there is no such file
        self.pending: list[Entry] = []
        self.is_new = False

    def take(self, entry: Entry) -> None:
        if entry.what == "sync":
            for one in self.pending:
                self.durable = apply(self.durable, one)
        if entry.what in {"sync", "lost"}:
            self.pending = []
        elif entry.what == "create":
            self.is_new = True
        else:
            self.pending.append(entry)

    def delete_for_good(self) -> None:
        """The folder is synced."""
        deleted = [number for number, one in enumerate(self.pending) if one.what == "delete"]
        if deleted:
            self.durable, self.pending = None, self.pending[deleted[-1] + 1 :]

    def after_cut(self, how: str, chance: random.Random) -> bytes | None:
        pending = self.pending
        if how == "nothing":
            pending = []
        elif how == "a beginning":
            pending = pending[: chance.randint(0, len(pending))]
        elif how == "pieces":
            pending = [piece for one in pending if chance.random() < 0.7 for piece in torn(one, chance)]
        content = None if self.durable is None else bytearray(self.durable)
        for one in pending:
            content = apply(content, one)
        return None if content is None else bytes(content)


class Medium:
    """What is durable of some files, and what is under way to them."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def take(self, entry: Entry) -> None:
        """One more change was made."""
        file = self._files.setdefault(entry.path, _File())
        file.take(entry)
        if entry.what == "sync" and file.is_new and not entry.path.endswith(".db"):
            file.is_new = False
            for one in self._files.values():
                one.delete_for_good()

    def cut(self, how: str, chance: random.Random) -> dict[str, bytes]:
        """Give the files by path as they may lie there when the power goes now."""
        left = {path: file.after_cut(how, chance) for path, file in self._files.items()}
        return {path: content for path, content in left.items() if content is not None}


def apply(content: bytearray | None, entry: Entry) -> bytearray | None:
    """One change made to a file."""
    if entry.what == "delete":
        return None
    content = bytearray() if content is None else content
    if entry.what == "truncate":
        del content[entry.offset :]
        return content
    if len(content) < entry.offset:
        content.extend(bytes(entry.offset - len(content)))
    content[entry.offset : entry.offset + len(entry.data)] = entry.data
    return content


def torn(entry: Entry, chance: random.Random) -> list[Entry]:
    """A write in the sectors that reached the disk."""
    if entry.what != "write":
        return [entry]
    pieces, at, end = [], entry.offset, entry.offset + len(entry.data)
    while at < end:
        border = min(end, (at // SECTOR + 1) * SECTOR)
        if chance.random() < 0.8:
            pieces.append(entry._replace(offset=at, data=entry.data[at - entry.offset : border - entry.offset]))
        at = border
    return pieces


def lay_out(files: dict[str, bytes], folder: Path) -> Path:
    """Write files into a new folder, under their last names."""
    folder.mkdir()
    for path, content in files.items():
        (folder / Path(path).name).write_bytes(content)
    return folder
