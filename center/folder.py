"""The receiver's folder: sink, `refused/` and memory, opened together, and in step after every commit.

    DIR/<stream>/...    the sink's files        ─┐
    DIR/refused/...     bytes that are not taken ─┴─ first synced, then their positions are committed in
    DIR/receive.db      the memory
    DIR/receive.lock, DIR/center.sock

Opening puts everything back to the last commit: files are cut to their positions, discarded ones taken away.
"""

import logging
import sqlite3
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from center.memory import FORGET_ROWS, Change, Memory
from center.refused import FOLDER, RefusedFiles, count_file
from center.sinks import Sink, make_sink
from center.sinks.files import OPEN, sync_folder

DISK_ERRORS: Final = (OSError, sqlite3.DatabaseError)
_BUGS: Final = (sqlite3.ProgrammingError, sqlite3.IntegrityError)
log = logging.getLogger("edgepost.center")


def is_of_the_disk(error: BaseException) -> bool:
    """Tell whether an error says that the disk or the file is bad; a wrong statement of ours is a bug."""
    return isinstance(error, DISK_ERRORS) and not isinstance(error, _BUGS)


class Folder:
    """Owns what is open in one folder. Used on one thread, and thrown away after an error."""

    def __init__(self, path: Path, kind: str) -> None:
        for folder in (path, path / FOLDER):
            if not folder.is_dir():
                folder.mkdir(mode=0o750, parents=True)
                sync_folder(folder.parent)
        self._path = path
        with ExitStack() as undo:
            self.memory = Memory(path / "receive.db")
            undo.callback(self.memory.close)
            self._take_away()
            self._forget_finished()
            self.refused = RefusedFiles(path, positions=self.memory.positions)
            undo.callback(self.refused.close)
            self.sink: Sink = make_sink(kind, path, positions=self.memory.positions)
            undo.pop_all()

    def _take_away(self) -> None:
        """End discards that a kill has interrupted: what is counted must not lie there."""
        for file in self.memory.gone():
            (self._path / file).unlink(missing_ok=True)
            self.memory.forget_gone(file)

    def _forget_finished(self) -> None:
        """Forget positions of files that are open no more: a kill came between their renaming and our forgetting."""
        for file in list(self.memory.positions):
            path = self._path / file
            if path.exists():
                continue
            if not path.with_name(path.name.removesuffix(OPEN)).exists():
                log.warning("%s is gone; %d bytes of it were committed", path, self.memory.positions[file])
            self.memory.forget_positions([file])

    def commit(self, change: Change) -> None:
        """Make everything written durable, then remember it: in this order, so that a name is never ahead of its rows."""
        change.positions = {**self.sink.sync(), **self.refused.sync()}
        change.refused = self.refused.take()
        self.memory.commit(change)
        self._rotate()

    def tend(self) -> None:
        """What has its time also when nothing comes: finish old files, forget old digests."""
        self._rotate()
        while self.memory.forget_digests() == FORGET_ROWS:
            pass

    def _rotate(self) -> None:
        self.memory.forget_positions(self.sink.rotate())
        finished = self.refused.rotate()
        self.memory.forget_positions(finished)
        if finished:
            self._discard()

    def _discard(self) -> None:
        for path in self.refused.beyond():
            tallies = count_file(path)
            name = str(path.relative_to(self._path))
            self.memory.discard(name, tallies)
            path.unlink()
            self.memory.forget_gone(name)
            said = ", ".join(f"{tally.payloads} {reason}" for reason, tally in sorted(tallies.items()))
            log.warning("%s is discarded, the folder is full: %s", path, said)

    def close(self) -> None:
        """Close everything where it is; what was promised holds already, so an error here costs nothing."""
        for close in (self.sink.close, self.refused.close, self.memory.close):
            with suppress(*DISK_ERRORS):
                close()
