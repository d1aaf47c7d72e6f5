"""Agents, gateways and the last hop: what each has on disk, what only in memory, and what a kill takes.

Sender   store: held batches, spans, account ........ disk      pending rows, window, discards ... memory
Gateway  a Sender that also takes batches; it knows repeats only among those it holds
Center   sink, memory of names, refused, heard ...... disk      group to commit .................. memory
"""

from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import msgspec
from model.rules import Key, Rules
from parts.batches import BOOT, START_NS

from agent.buffer.rows import Held
from agent.events import AGENT, row
from agent.forward.window import Flight, Verdict, Window
from center.names import Ranges
from wire.batch import (
    Batch,
    Head,
    Hop,
    Refused,
    compress,
    decode_payload,
    decode_rows,
    digest,
    encode_head,
    encode_payload,
)
from wire.declared import AGENT_STREAM, read_declared
from wire.names import LANES, BatchName
from wire.receipts import COMMITTED, LATER, REFUSED, REJECTED, REPEAT, Receipt, encode_receipts
from wire.state import Span, State

COLUMNS = (("time", "time"), ("received", "time"), ("number", "int"))
GROUP = "center"
LIMIT_BATCHES = 10


class Violation(AssertionError):
    """An invariant of custody does not hold."""


@dataclass
class Store:
    """What a sender has on disk. The numbers are rows, by origin and by what became of them."""

    id: bytes
    held: dict[int, Held] = field(default_factory=dict)  # by key, oldest first
    last: dict[tuple[bytes, int], int] = field(default_factory=dict)  # (epoch, lane): last seq
    next_key: int = 1
    parked: set[int] = field(default_factory=set)
    refused: set[Key] = field(default_factory=set)
    ever: set[Key] = field(default_factory=set)  # for the questions only: what this disk has ever held
    account: dict[tuple[str, str], int] = field(default_factory=dict)

    def copy(self) -> "Store":
        copies: dict[str, Any] = {name: copy(value) for name, value in vars(self).items()}
        return replace(self, **copies)

    def keys(self) -> set[Key]:
        return {(held.name, held.digest) for held in self.held.values()}

    def add(self, name: BatchName, *, stream: str, rows: int, head: bytes, body: bytes) -> Held:
        held = Held(name, self.next_key, stream, rows, digest(head, body), head, body, START_NS)
        self.held[held.key] = held
        self.ever.add((name, held.digest))
        self.next_key += 1
        return held

    def count(self, origin: str, what: str, rows: int) -> None:
        self.account[origin, what] = self.account.get((origin, what), 0) + rows

    def spans(self) -> Iterator[Span]:
        for (epoch, lane), last in self.last.items():
            seqs = [held.name.seq for held in self.held.values() if held.name[:2] == (epoch, lane)]
            yield Span(epoch, lane, min(seqs, default=last + 1), last)


class Sender:
    """An agent: rows in, batches out, custody until the receipt."""

    def __init__(self, name: str, store: Store, *, next_hop: str, rules: Rules, chance: Random) -> None:
        self.name = name
        self.store = store
        self.next_hop = next_hop
        self.rules = rules
        self.chance = chance
        self.backup: Store | None = None
        self.connection = 0
        self.open()

    def open(self) -> None:
        """Begin, or begin again: memory is empty, and an epoch is drawn."""
        self.epoch = self.rules.epoch(self.store.id, self.chance)
        self.connection += 1
        self.pending: list[tuple[int, int]] = []  # lane, number
        self.window = Window([GROUP], limit_bytes=1 << 20)
        self.done: list[tuple[Held, str]] = []

    def commit(self) -> list[Held]:
        """One transaction: new batches by lane, discards, evictions with their declaration."""
        made = [self._name(lane) for lane in sorted({lane for lane, _ in self.pending})]
        self.pending = []
        for held, what in self.done:
            if self.store.held.pop(held.key, None):
                self.store.count(origin_of(held), what, held.rows)
        self.done = []
        evicted = self._evict()
        if evicted and self.rules.declares:
            made.append(self._append(0, AGENT.name, AGENT.columns, [_declaration(run) for run in runs(evicted)]))
        return made

    def _name(self, lane: int) -> Held:
        return self._append(
            lane, "log", COLUMNS, [(None, START_NS, number) for at, number in self.pending if at == lane]
        )

    def _append(self, lane: int, stream: str, columns: Any, rows: list[Any]) -> Held:
        seq = self.store.last.get((self.epoch, lane), 0) + 1
        self.store.last[self.epoch, lane] = seq
        head = encode_head(
            Head(
                agent=self.name,
                site="hue",
                stream=stream,
                lane=lane,
                epoch=self.epoch,
                seq=seq,
                rows=len(rows),
                columns=columns,
                first_ns=START_NS,
                last_ns=START_NS,
                boot=BOOT,
                mono_ns=0,
                clock="synced",
            )
        )
        body = compress(msgspec.msgpack.encode(rows))
        self.store.count(self.name, "received", len(rows))
        name = BatchName(self.epoch, lane, seq)
        return self.store.add(name, stream=stream, rows=len(rows), head=head, body=body)

    def _evict(self) -> list[Held]:
        """The lowest lane first, oldest first, never what is in flight."""
        idle = [held for held in self.store.held.values() if held.key not in self.window.keys and held.stream == "log"]
        idle.sort(key=lambda held: (-held.name.lane, held.key))
        evicted = idle[: max(0, len(self.store.held) - LIMIT_BATCHES)]
        for held in evicted:
            del self.store.held[held.key]
            self.store.count(origin_of(held), "evicted", held.rows)
        return evicted

    def payload(self, held: Held) -> bytes:
        """Put a batch in flight, or send it again."""
        flight = self.window.flights.get(held.name)
        if flight is None:
            flight = self.window.add(held, now=0.0)
        flight.attempt += 1
        hop = Hop(self.name, 2, (), flight.attempt, START_NS)
        return encode_payload(hop, digest=held.digest, head=flight.held.head, body=flight.held.body)

    def hear(self, receipts: list[Receipt]) -> list[tuple[Held, Receipt]]:
        """Act on receipts; give those batches whose custody they ended."""
        ended = []
        for receipt in receipts:
            flight = self.window.flights.get(receipt.name)
            is_blind = flight is not None and not self.rules.needs_digest
            heard = receipt._replace(digest=flight.held.digest) if flight and is_blind else receipt
            verdict = self.window.judge(GROUP, heard, now=0.0)
            if flight and self._act(flight, verdict):
                ended.append((flight.held, receipt))
        return ended

    def _act(self, flight: Flight, verdict: Verdict) -> bool:
        """Do what a receipt asks for; tell whether custody ended."""
        if verdict is Verdict.PARK:
            self.store.parked.add(flight.held.key)
            self.window.remove(flight)
        if verdict is Verdict.CONFLICT:
            self.epoch = self.chance.randbytes(16)
        if verdict not in {Verdict.DONE, Verdict.CONFLICT} or not flight.is_over:
            return False
        self.end(flight, "rejected" if flight.rejected else "confirmed")
        return True

    def end(self, flight: Flight, what: str) -> None:
        self.window.remove(flight)
        self.done.append((flight.held, what))

    def state(self) -> State:
        spans = tuple(self.store.spans())
        return State(online=True, epoch=self.epoch, connection=self.connection, spans=spans)


class Gateway(Sender):
    """A hop between: takes batches into the same store, and holds them until the next hop has receipted."""

    def open(self) -> None:
        super().open()
        self.group: list[tuple[str, Batch | Refused]] = []

    def take(self, sender: str, payload: bytes) -> bytes | None:
        """Take a payload into memory; give receipts at once only where nothing is taken."""
        return take(self.group, sender, payload, self.rules)

    def commit_group(self) -> list[tuple[str, Receipt, Key | None]]:
        """Commit what was taken; give each receipt with its addressee and what is durable now."""
        group, self.group = self.group, []
        known = self.store.keys()
        said: list[tuple[str, Receipt, Key | None]] = []
        for sender, got in group:
            if isinstance(got, Refused):
                said.append((sender, *keep_refused(self.store.refused, got)))
                continue
            key = (got.name, got.digest)
            outcome = REPEAT if key in known else COMMITTED
            if key not in known:
                head = got.head
                self.store.add(got.name, stream=head.stream, rows=head.rows, head=got.head_bytes, body=got.body)
                known.add(key)
            said.append((sender, Receipt(got.name, got.digest, outcome), key))
        return said


@dataclass
class Disk:
    """What the last hop has on disk."""

    sink: list[Key] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # by origin
    ranges: dict[tuple[bytes, int], Ranges] = field(default_factory=dict)  # (epoch, lane): seqs that are here
    names: dict[BatchName, bytes] = field(default_factory=dict)  # their digests
    refused: set[Key] = field(default_factory=set)
    declared: set[BatchName] = field(default_factory=set)
    heard: dict[tuple[bytes, int], int] = field(default_factory=dict)  # (epoch, lane): greatest seq

    def has(self, name: BatchName) -> bool:
        return name.seq in self.ranges.get((name.epoch, name.lane), ())

    def remember(self, name: BatchName, digest: bytes) -> None:
        self.names[name] = digest
        if not self.has(name):
            self.ranges.setdefault((name.epoch, name.lane), Ranges()).add(name.seq, name.seq)

    def copy(self) -> "Disk":
        copies: dict[str, Any] = {name: copy(value) for name, value in vars(self).items()}
        copies["ranges"] = deepcopy(self.ranges)
        return replace(self, **copies)


class Center:
    """The last hop: the only one that remembers names for long."""

    name = "center"

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.disk = Disk()
        self.backup: Disk | None = None
        self.told: dict[tuple[bytes, int], int] = {}  # for the questions only: heard, as it should be
        self.open()

    def open(self) -> None:
        self.group: list[tuple[str, Batch | Refused]] = []
        self.unwritten: list[Batch] = []  # only where names and sink are not committed at once

    def take(self, sender: str, payload: bytes) -> bytes | None:
        return take(self.group, sender, payload, self.rules)

    def commit_group(self) -> list[tuple[str, Receipt, Key | None]]:
        """One transaction: sink and memory of names; then the receipts."""
        group, self.group = self.group, []
        for batch in self.unwritten:
            self._write(batch)
        self.unwritten = []
        said: list[tuple[str, Receipt, Key | None]] = []
        for sender, got in group:
            if isinstance(got, Refused):
                said.append((sender, *keep_refused(self.disk.refused, got)))
            else:
                said.append((sender, *self._commit(got)))
        return said

    def _commit(self, batch: Batch) -> tuple[Receipt, Key]:
        key = (batch.name, batch.digest)
        known = self.disk.names[batch.name] if self.disk.has(batch.name) else None
        outcome, reason = self.rules.judge(known, batch.digest)
        if outcome == REJECTED:
            self.disk.refused.add(key)
            if self.rules.reads_conflicts:
                self._read_declarations(batch)
        elif outcome == COMMITTED:
            self.disk.remember(batch.name, batch.digest)
            self.hear(batch.name.epoch, batch.name.lane, batch.name.seq, is_batch=True)
            if self.rules.commits_at_once:
                self._write(batch)
            else:
                self.unwritten.append(batch)
        return Receipt(batch.name, batch.digest, outcome, reason), key

    def _write(self, batch: Batch) -> None:
        self.disk.sink.append((batch.name, batch.digest))
        self.disk.rows[batch.head.agent] = self.disk.rows.get(batch.head.agent, 0) + batch.head.rows
        self._read_declarations(batch)

    def _read_declarations(self, batch: Batch) -> None:
        if batch.head.stream == AGENT_STREAM:
            for lost in read_declared(batch.head.columns, decode_rows(batch)):
                seqs = range(lost.first_seq, lost.last_seq + 1)
                self.disk.declared.update(BatchName(lost.epoch, lost.lane, seq) for seq in seqs)

    def hear(self, epoch: bytes, lane: int, last: int, *, is_batch: bool = False) -> None:
        """Remember the greatest seq that was ever told for an epoch and lane: a restored agent tells less."""
        self.told[epoch, lane] = max(last, self.told.get((epoch, lane), 0))
        if is_batch or self.rules.keeps_greatest:
            last = max(last, self.disk.heard.get((epoch, lane), 0))
        self.disk.heard[epoch, lane] = last


def take(group: list[tuple[str, Batch | Refused]], sender: str, payload: bytes, rules: Rules) -> bytes | None:
    """Decode a payload into the group; answer at once where the digest is wrong."""
    try:
        batch = decode_payload(payload)
    except Refused as refused:
        if refused.name is None:
            return None
        if refused.reason == "digest":
            return encode_receipts(GROUP, [Receipt(refused.name, refused.digest, REFUSED, "digest")])
        group.append((sender, refused))
        return None
    group.append((sender, batch))
    if rules.receipt_after_commit:
        return None
    return encode_receipts(GROUP, [Receipt(batch.name, batch.digest, COMMITTED)])


def later(payload: bytes) -> bytes | None:
    """The answer of a hop that has no room."""
    try:
        batch = decode_payload(payload)
    except Refused:
        return None
    return encode_receipts(GROUP, [Receipt(batch.name, batch.digest, LATER)])


def keep_refused(kept: set[Key], refused: Refused) -> tuple[Receipt, Key | None]:
    assert refused.name is not None
    kept.add((refused.name, refused.digest))  # its digest is right, else it had been `refused`
    return Receipt(refused.name, refused.digest, REJECTED, refused.reason), (refused.name, refused.digest)


def origin_of(held: Held) -> str:
    return str(msgspec.msgpack.decode(held.head)["agent"])


def runs(lost: list[Held]) -> list[list[Held]]:
    """Contiguous ranges of one epoch and lane."""
    found: list[list[Held]] = []
    for held in sorted(lost, key=lambda one: one.name):
        before = found[-1][-1].name if found else None
        if before is not None and held.name == before._replace(seq=before.seq + 1):
            found[-1].append(held)
        else:
            found.append([held])
    return found


def _declaration(run: list[Held]) -> tuple[Any, ...]:
    first, last = run[0].name, run[-1].name
    detail = {
        "epoch": first.epoch,
        "lane": LANES[first.lane],
        "first_seq": first.seq,
        "last_seq": last.seq,
        "rows": sum(held.rows for held in run),
        "first_ns": START_NS,
        "last_ns": START_NS,
        "reason": "buffer-full",
    }
    return row("evicted", text="evicted", detail=detail)
