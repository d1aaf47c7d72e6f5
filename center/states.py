"""The last state of each sender, as it counts: a will that comes late does not, and a will does not empty a store.

online ─────────────────────────────────────► kept whole
offline, of the connection last heard of ───► kept; without spans (a will) only `online` changes
offline, of another connection ─────────────► left out (docs/wire-format.md, section "State")
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from center.names import Names
from wire.decode import Refused
from wire.receive import Heard
from wire.state import State, decode_state, encode_state, is_gone


class States:
    """The table `state`; `hear` runs inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def hear(self, states: Sequence[Heard], *, names: Names, now: int) -> None:
        """Keep each sender's last state that counts, and the greatest seq it ever told of in each (epoch, lane)."""
        for site, sender, state in states:
            for span in state.spans:
                names.tell((sender, span.epoch, span.lane), span.last)
            counts = merge_states(self._of(sender), state)
            if counts is not None:
                row = (sender, site, now, encode_state(counts))
                self._db.execute("INSERT OR REPLACE INTO state VALUES (?,?,?,?)", row)

    def _of(self, sender: str) -> State | None:
        row = self._db.execute("SELECT payload FROM state WHERE agent = ?", (sender,)).fetchone()
        try:
            return None if row is None else decode_state(row[0])
        except Refused:  # what another version has kept: the next state takes its place
            return None


def merge_states(last: State | None, new: State) -> State | None:
    """Give the state to keep; None when the new one does not count.

    Args:
        last: the one kept so far. An `offline` was kept under the names of its connection, so it tells as much of who
            was last online as an `online` does.
        new: the one just heard.
    """
    if new.online:
        return new
    if not is_gone(last, new):
        return None
    return new if last is None or new.spans else replace(last, online=False)
