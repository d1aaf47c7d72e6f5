"""The keeper: batches into the store, or into memory while the disk fails, and back. Runs on the writer's thread.

    seal ──pack──► packed ──name──► named ──one transaction──► store ──► deleted when their custody ends
                                      └──the disk fails──► memory ──the disk is back──► store, under the same names

Invariants:
- A name is spent once, for one content. A commit that failed leaves its names to its batches, and a new epoch begins.
- Whether a failed commit took place after all is settled when the file is opened again, by the number of its commit.
- What waits (ends of custody, marks, counts, declarations) waits until a transaction with it holds.
"""

import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent import events
from agent.buffer import damage
from agent.buffer.connection import Step, no_step
from agent.buffer.faults import CORRUPT, DISK_ERRORS, FULL, Fault, fault_of, is_certain, probe
from agent.buffer.losses import DROPPED, EVICTED, Losses
from agent.buffer.memory import MemoryHold
from agent.buffer.naming import Names
from agent.buffer.opening import Opener
from agent.buffer.room import FLOOR_BYTES, Room
from agent.buffer.rows import ROT, BufferSettings, Changes, Held, Origin, Sealed
from agent.buffer.store import Store
from agent.buffer.tables import CLEAN, Tables
from agent.buffer.waiting import Attempt, Kind, Waiting

REOPEN_SECONDS: Final = 10.0
DRAIN_BYTES: Final = 4 << 20  # of memory into the store in one transaction
FILE: Final = "buffer.db"


class Keeper:
    """Owns the store; see the module's invariants."""

    def __init__(
        self,
        folder: Path,
        *,
        origin: Origin,
        settings: BufferSettings,
        in_flight: Container[int] = (),
        step: Step = no_step,
    ) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._opener = Opener(self.path, origin, step=step)
        self._attempt: Attempt | None = None
        self._was_open = False
        self._reopen_at = 0.0
        self._announced: list[Held] = []  # named since the last commit began
        self.names = Names(origin)
        self.waiting = Waiting(message_bytes=settings.message_bytes)
        self.room = Room(folder, settings, in_flight=in_flight)
        self.memory = MemoryHold(settings.memory_bytes, in_flight=in_flight)
        self.store: Store | None = None
        self.last_tables = Tables()  # of the store that was open last
        self.fault: Fault | None = None
        self.has_skipped = False  # something was read although not everything before it could be
        self.unclean_since_ns: int | None = None
        self.on_evicted: Callable[[list[int]], None] = lambda _: None
        self.on_rewound: Callable[[], None] = lambda: None  # batches came back behind what was read already
        self.on_damaged: Callable[[], None] = lambda: None  # a file was set aside: there is something to salvage

    # --- opening ---------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When `tick` wants to be called, monotonic; None: nothing to wait for."""
        return None if self.fault is None else self._reopen_at

    def tick(self) -> None:
        """Try the disk again when it is time to."""
        if self.due is not None and time.monotonic() >= self.due:
            self.open()

    def open(self) -> None:
        """Open the store, settle what was in doubt, write what memory holds; a failing disk is a state."""
        self._reopen_at = time.monotonic() + REOPEN_SECONDS
        try:
            self._close_store()
            self._open_store()
            self._settle()
            self._with_room(self._catch_up)
        except DISK_ERRORS as error:
            self.fail(error)
            self._open_to_read()
        else:
            self.fault = None
            self._commit()
        self._rewind_if_needed()

    def _open_store(self) -> None:
        self.store = self._opener.open()
        if not self._was_open:
            self.unclean_since_ns = self._opener.unclean_since_ns
        self._was_open = True
        if damage.waiting(self.folder):
            self.on_damaged()
        self._take_keys()
        self.room.measure(self.store)

    def _open_to_read(self) -> None:
        """While nothing can be written: the backlog leaves all the same, if it can be read."""
        if self.store is None and self.fault is not None:
            self.store = self._opener.read_only(self.fault.state)
            if self.store is not None:
                self._take_keys()

    def _rewind_if_needed(self) -> None:
        """Let everything be read again once something can be read that was passed over before."""
        if self.store is not None and self.has_skipped:
            self.has_skipped = False
            self.on_rewound()

    def _take_keys(self) -> None:
        """Go on where the store's keys end; batches named blindly get keys of the store, in their order."""
        assert self.store is not None
        blind = self.memory.all() if self.names.is_blind else []
        moved = self.names.go_on([row.next for row in self.store.tables.lanes], blind=blind)
        if any(moved):
            self.memory.shift(moved)
            self.on_evicted([held.key for held in blind])
            self.has_skipped = True  # whoever has read meanwhile stands at a blind key, far above those of the store

    def _settle(self) -> None:
        """Find out whether the transaction that failed took place."""
        attempt, store = self._attempt, self.store
        assert store is not None
        if attempt is None or self._opener.found_commits < attempt.number:
            self._attempt = None
            return
        store.checkpoint("TRUNCATE")  # an fsync that failed is not made good by the next one, a second copy is
        self._attempt = None
        self.waiting.settle(attempt.changes)
        if attempt.kind is Kind.EVICTION:
            self.on_evicted(list(attempt.changes.done))
            self.has_skipped = True  # the batch that declares it is on the disk, and nobody was told
        for held in attempt.new:
            self._leave_memory(held.key)

    def _catch_up(self) -> None:
        """Write what waited for the disk: ends of custody first, they make room, then memory, a few MiB at a time."""
        assert self.store is not None
        self._end_in_memory(self.waiting.changes)
        ends = self.waiting.ends()
        if ends:
            self._append(Kind.COMMIT, [], ends)
            self.waiting.settle(ends)
        while len(self.memory):
            group = self.memory.first(DRAIN_BYTES)
            self._append(Kind.DRAIN, group, Changes())
            for held in group:
                self._leave_memory(held.key)
        if not damage.waiting(self.folder):
            self.store.prune()

    def _leave_memory(self, key: int) -> None:
        reason = self.memory.parked(key)
        if reason is not None:
            self.waiting.parked[key] = reason
        self.memory.remove(key)

    # --- committing ------------------------------------------------------------------------------------------------

    def seal(self, sealed: Sealed) -> int:
        """Take a batch: compressed now, durable with the next commit; give how many of its rows were shrunk."""
        return self.waiting.seal(sealed)

    def commit(self, changes: Changes) -> list[Held]:
        """Make everything sealed so far durable, or hold it in memory; give what was named since the last commit."""
        self._end_in_memory(changes)
        self.waiting.changes.add(changes)
        self.tick()
        self._commit()
        named, self._announced = self._announced, []
        return named

    def _end_in_memory(self, changes: Changes) -> None:
        """End the custody of what memory holds; what may lie on the disk too has to wait for it."""
        in_doubt = {held.key for held in self._attempt.new} if self._attempt is not None else set()
        for key, what in list(changes.done.items()):
            held = None if key in in_doubt else self.memory.remove(key)
            if held is not None:
                del changes.done[key]
                changes.count(held.stream, what, held.rows)

    def _commit(self) -> None:
        try:
            if self.fault is None:
                self._with_room(self._write)
            else:
                self._hold()
        except DISK_ERRORS as error:
            self.fail(error)
            self._hold()

    def _write(self) -> None:
        store, waiting = self.store, self.waiting
        assert store is not None
        if waiting.parked:
            store.park(waiting.parked)
            waiting.parked = {}
        waiting.pack_losses()
        new = self.names.name(waiting.packed)
        now, later = waiting.for_commit(is_first=bool(new) and self.names.epoch not in store.tables.epochs)
        if new or now:
            self._append(Kind.COMMIT, new, now)
            self.names.spend(new)
            self._announced += new
            waiting.packed, waiting.changes = [], later
        if later:
            self._append(Kind.COMMIT, [], later)
            waiting.changes = Changes()
        self.make_room(store)

    def _append(self, kind: Kind, new: Sequence[Held], changes: Changes) -> None:
        assert self.store is not None
        carried = Changes(done=dict(changes.done), counts=Counter(changes.counts))
        self._attempt = Attempt(kind, self.store.tables.commits + 1, new, carried)
        try:
            self.store.append(new, changes)
        except DISK_ERRORS as error:
            if is_certain(error):
                self._attempt = None
            raise
        self._attempt = None
        self.room.wrote(new, len(changes.done))

    def _hold(self) -> None:
        """Name and hold in memory what would have been committed; everything else waits."""
        self.waiting.pack_losses()
        new = self.names.name(self.waiting.packed)
        self.names.spend(new)
        self.waiting.packed = []
        self._remember(new)

    def _remember(self, new: Sequence[Held]) -> None:
        gone = self.memory.add(new)
        keys = {held.key for held in gone}
        self._announced = [held for held in (*self._announced, *new) if held.key not in keys]
        for held in gone:
            self.waiting.changes.count(held.stream, "dropped:memory-full", held.rows)
        if gone:
            self.waiting.losses.add(gone, event=EVICTED, reason="memory-full")
            self.on_evicted(list(keys))

    # --- failing ---------------------------------------------------------------------------------------------------

    def _fault(self, error: Exception) -> Fault:
        """Tell which state an error is; one that is none is a bug and is raised again."""
        fault = fault_of(error)
        if fault is None:
            raise error
        return (fault.state == "io-error" and probe(self.folder)) or fault

    def _with_room(self, write: Callable[[], None]) -> None:
        """Write; on a full disk give it room, as far as we have any, and try again.

        Raises:
            sqlite3.Error, OSError: it failed all the same, or for another reason.
        """
        for make_room in (self.room.release, self._give_batches, self._give_pages):
            try:
                write()
                return
            except DISK_ERRORS as error:
                self._demand_room(error)
            assert self.store is not None
            try:
                make_room(self.store)
            except DISK_ERRORS as error:
                self._demand_room(error)
        write()

    def _demand_room(self, error: Exception) -> None:
        """Go on only if all that failed is that there was no room, and nothing is in doubt."""
        if self.store is None or self._attempt is not None or self._fault(error).state != FULL:
            raise error

    def _give_batches(self, store: Store) -> None:
        """Evict a little more than is to be written, and reuse its pages; never below the floor."""
        self.room.measure(store)
        needed = 2 * sum(len(one.body) for one in self.waiting.packed) + self.memory.bytes + (1 << 20)
        goal = max(FLOOR_BYTES, self.room.live_bytes - needed)
        while (excess := self.room.live_bytes - goal) > 0 and self._evict(store, excess, reason="disk-full"):
            self.room.measure(store)
        store.checkpoint("TRUNCATE")

    @staticmethod
    def _give_pages(store: Store) -> None:
        store.vacuum()
        store.checkpoint("TRUNCATE")

    def fail(self, error: Exception) -> None:
        """Go over to memory. Batches of the commit that failed keep their names, all later ones get a new epoch."""
        fault = self._fault(error)
        if fault.state == CORRUPT and self.store is not None:
            self._opener.give_up(self.store.tables)
            self._close_store()
        self._reopen_at = time.monotonic() + (0 if fault.state == CORRUPT and self.fault is None else REOPEN_SECONDS)
        is_news, self.fault = self.fault is None, fault
        self._take_attempt()
        if is_news:
            self._draw_epoch(fault.problem)

    def _take_attempt(self) -> None:
        """Spend the names of a transaction that may have taken place, and hold its batches."""
        attempt = self._attempt
        if attempt is None or attempt.is_taken or attempt.kind is Kind.DRAIN:
            return
        attempt.is_taken = True
        self.names.spend(attempt.new)
        if attempt.kind is Kind.COMMIT and attempt.new:
            self.waiting.packed = []
            self._remember(attempt.new)

    def _draw_epoch(self, reason: str) -> None:
        self.names.draw()
        detail = {"epoch": self.names.epoch, "reason": reason}
        row = events.row("epoch", severity=events.WARNING, text=f"a new epoch: {reason}", detail=detail)
        self.waiting.losses.tell(row)

    def draw_epoch(self) -> None:
        """Name further batches under a new epoch: a name of ours was met with other bytes."""
        self._draw_epoch("a name was met with other bytes")

    def at_disk(self, work: Callable[[Store], None]) -> bool:
        """Let somebody else on this thread work on the store; False while the disk fails."""
        if self.store is not None and self.fault is None:
            try:
                work(self.store)
            except DISK_ERRORS as error:
                if self._attempt is None and self._fault(error).state == FULL:
                    return False  # what is new has the room that there is
                self.fail(error)
        return self.fault is None

    # --- room ------------------------------------------------------------------------------------------------------

    def make_room(self, store: Store) -> None:
        """After a commit: copy the WAL when it is due, evict what is above the limit."""
        self.room.checkpoint_when_due(store)
        self.room.measure(store)
        while (excess := self.room.excess()) > 0 and self._evict(store, excess, reason=self.room.reason):
            self.room.measure(store)

    def _evict(self, store: Store, needed: int, *, reason: str) -> bool:
        """Evict the oldest of the lowest lane above its share, declared in the same transaction."""
        victims = self.room.victims(store, needed)
        losses = Losses()
        losses.add((held for held in victims if not held.is_rotten), event=EVICTED, reason=reason)
        new = self.names.name(self.waiting.pack(losses))
        done = {held.key: f"dropped:evicted-{reason}" for held in victims}
        if victims:
            self._append(Kind.EVICTION, new, Changes(done=done))
            self.names.spend(new)
            self._announced += new
            self.on_evicted(list(done))
        return bool(victims)

    def set_rotten_aside(self, rotten: Sequence[Held]) -> None:
        """Park batches whose digest differs from their bytes, and declare them; the lane goes on."""
        new = [held for held in rotten if self.waiting.is_readable(held.key)]
        if new:
            self.waiting.parked.update((held.key, ROT) for held in new)
            self.waiting.losses.add(new, event=DROPPED, reason=ROT)
            self._commit()

    def park(self, key: int, reason: str) -> None:
        """Keep a batch but read it no more."""
        if not self.memory.park(key, reason):
            self.waiting.parked[key] = reason
        self._commit()

    # --- ending ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Commit what waits, mark the stop as clean, close the file."""
        if self.fault is not None:
            self.open()
        self._commit()
        self.waiting.changes.marks[CLEAN] = b"1"
        self._commit()
        if self.store is not None and self.fault is None:
            with suppress(*DISK_ERRORS):
                self.store.checkpoint("TRUNCATE")
        self._close_store()

    def _close_store(self) -> None:
        store, self.store = self.store, None
        if store is not None:
            self.last_tables = store.tables
            with suppress(*DISK_ERRORS):
                store.close()
