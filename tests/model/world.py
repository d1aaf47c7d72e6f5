"""One random world: parties, a broker that may do anything, faults, then healing, then the questions.

    agent ──┐
    agent ──┼──► gateway ──► gateway ──► center          0 to 2 gateways
    clone ──┘        the broker loses, doubles, reorders and breaks messages, and answers PUBACK to all of them

Time does not pass: whatever may happen next is drawn by chance from a seed, so a world can be lived again.
"""

from random import Random

from model.parties import GROUP, Center, Gateway, Sender, Store, Violation, later
from model.rules import RIGHT, Key, Rules

from agent.buffer.rows import Held
from wire.batch import Refused
from wire.receipts import Receipt, decode_receipts, encode_receipts
from wire.state import decode_state, encode_state

STEPS = 200
FATES = ["calm", "restore", "restore-center", "clone", "live-clone"]
HEALING_ROUNDS = 60
MOST_MESSAGES = 60


class World:
    """Everything that exists, and the truth about it, which no party knows."""

    def __init__(self, seed: int, rules: Rules = RIGHT) -> None:
        self.chance = Random(seed)
        self.rules = rules
        self.center = Center(rules)
        self.gateways = self._gateways(self.chance.choice([0, 0, 1, 2]))
        first = self.gateways[0].name if self.gateways else self.center.name
        self.agents = [self._agent(f"agent-{n}", first) for n in range(self.chance.choice([1, 1, 2]))]
        self.messages: list[tuple[str, str, str, bytes]] = []  # kind, to, from, payload
        self.truth: dict[Key, tuple[str, int]] = {}  # what was ever committed: origin, rows
        self.durable: dict[str, set[Key]] = {}  # what was ever durable at a hop
        self.rolled_back: set[Key] = set()  # went away with a disk that was replaced by an older copy
        self.is_forked = False
        self.number = 0
        self.story: list[str] = []
        # One fate a world. A machine that was copied while it ran gives the names of its copy; that is found by the
        # digest, unless a disk goes back in time as well.
        self.fate = self.chance.choice(FATES)

    def _gateways(self, count: int) -> list[Gateway]:
        names = [f"gateway-{n}" for n in range(count)]
        hops = [*names[1:], self.center.name]
        return [
            Gateway(name, Store(self.chance.randbytes(16)), next_hop=hop, rules=self.rules, chance=self.chance)
            for name, hop in zip(names, hops, strict=False)
        ]

    def _agent(self, name: str, next_hop: str) -> Sender:
        return Sender(name, Store(self.chance.randbytes(16)), next_hop=next_hop, rules=self.rules, chance=self.chance)

    @property
    def senders(self) -> list[Sender]:
        return [*self.agents, *self.gateways]

    @property
    def hops(self) -> list[Gateway | Center]:
        return [*self.gateways, self.center]

    # --- what may happen -------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Let `STEPS` things happen, then heal everything."""
        events = [self.put] * 4 + [self.commit] * 4 + [self.send] * 8 + [self.deliver] * 14 + [self.commit_hop] * 5
        events += [self.lose, self.double, self.spoil, self.publish_state, self.puback, self.kill, self.refuse_room]
        events += {
            "calm": [],
            "restore": [self.back_up, self.restore],
            "restore-center": [self.back_up_center, self.restore_center],
        }.get(self.fate, [self.clone])
        for _ in range(STEPS):
            self.chance.choice(events)()
        self.heal()

    def put(self) -> None:
        """Rows reach an agent."""
        agent = self.chance.choice(self.agents)
        for _ in range(self.chance.randint(1, 3)):
            self.number += 1
            agent.pending.append((self.chance.choice([0, 1, 1, 2]), self.number))

    def commit(self) -> None:
        self._commit(self.chance.choice(self.senders))

    def _commit(self, sender: Sender) -> None:
        for held in sender.commit():
            self.truth[held.name, held.digest] = (sender.name, held.rows)

    def send(self) -> None:
        """Send the oldest that is not in flight, or anything again."""
        sender = self.chance.choice(self.senders)
        held = [one for key, one in sender.store.held.items() if key not in sender.store.parked]
        fresh = [one for one in held if one.key not in sender.window.keys]
        if held:
            self._send(sender, self.chance.choice(held) if not fresh or self.chance.random() < 0.3 else fresh[0])

    def _send(self, sender: Sender, held: Held) -> None:
        if any(done.key == held.key for done, _ in sender.done):
            return
        other = sender.window.flights.get(held.name)
        if other is not None and other.held.digest != held.digest:
            return  # of two batches with one name, as a gateway may hold, one goes at a time
        if len(self.messages) < MOST_MESSAGES:
            self.messages.append(("batch", sender.next_hop, sender.name, sender.payload(held)))

    def deliver(self) -> None:
        """Hand over a message: the oldest, or any other before it."""
        if self.messages:
            index = 0 if self.chance.random() < 0.5 else self.chance.randrange(len(self.messages))
            self._deliver(self.messages.pop(index))

    def _deliver(self, message: tuple[str, str, str, bytes]) -> None:
        kind, to, sender, payload = message
        if kind == "state":
            self._hear_state(payload)
        elif kind == "receipts":
            self._hear_receipts(to, payload)
        else:
            answer = self._hop(to).take(sender, payload)
            if answer is not None:
                self.messages.append(("receipts", sender, to, answer))

    def _hop(self, name: str) -> Gateway | Center:
        return next((gateway for gateway in self.gateways if gateway.name == name), self.center)

    def _hear_state(self, payload: bytes) -> None:
        try:
            state = decode_state(payload)
        except Refused:
            return
        for span in state.spans:
            self.center.hear(span.epoch, span.lane, span.last)

    def _hear_receipts(self, to: str, payload: bytes) -> None:
        try:
            _, receipts = decode_receipts(payload)
        except Refused:
            return
        for sender in [one for one in self.senders if one.name == to]:  # a clone hears them too
            for held, receipt in sender.hear(receipts):
                self._check_custody(sender, (held.name, held.digest), receipt.outcome)

    def _check_custody(self, sender: Sender, key: Key, how: str) -> None:
        if key not in self.durable.get(sender.next_hop, set()):
            raise Violation(f"{sender.name} let go of {key[0]} by {how}, and {sender.next_hop} never had it")

    def commit_hop(self) -> None:
        self._commit_hop(self.chance.choice(self.hops))

    def _commit_hop(self, hop: Gateway | Center) -> None:
        by_sender: dict[str, list[Receipt]] = {}
        for sender, receipt, key in hop.commit_group():
            by_sender.setdefault(sender, []).append(receipt)
            if key is not None:
                self.durable.setdefault(hop.name, set()).add(key)
        for sender, receipts in by_sender.items():
            if self.rules.receipt_after_commit:
                self.messages.append(("receipts", sender, hop.name, encode_receipts(GROUP, receipts)))

    def publish_state(self) -> None:
        sender = self.chance.choice(self.senders)
        self.messages.append(("state", self.center.name, sender.name, encode_state(sender.state())))

    # --- faults ----------------------------------------------------------------------------------------------------

    def _draw_message(self) -> int | None:
        return self.chance.randrange(len(self.messages)) if self.messages else None

    def lose(self) -> None:
        index = self._draw_message()
        if index is not None:
            self.messages.pop(index)

    def double(self) -> None:
        index = self._draw_message()
        if index is not None:
            self.messages.append(self.messages[index])

    def spoil(self) -> None:
        """One byte of a message changes on the way."""
        index = self._draw_message()
        if index is not None and self.messages[index][0] == "batch":
            kind, to, sender, payload = self.messages[index]
            spoiled = bytearray(payload)
            spoiled[self.chance.randrange(len(spoiled))] ^= 1 << self.chance.randrange(8)
            self.messages[index] = (kind, to, sender, bytes(spoiled))

    def puback(self) -> None:
        """The broker says PUBACK to a batch, whatever became of it."""
        sender = self.chance.choice(self.senders)
        flights = list(sender.window.flights.values())
        if flights and not self.rules.needs_receipt:
            flight = self.chance.choice(flights)
            sender.end(flight, "confirmed")
            self._check_custody(sender, (flight.held.name, flight.held.digest), "PUBACK")

    def refuse_room(self) -> None:
        """A hop answers `later`."""
        batches = [index for index, message in enumerate(self.messages) if message[0] == "batch"]
        if batches:
            _, to, sender, payload = self.messages.pop(self.chance.choice(batches))
            answer = later(payload)
            if answer is not None:
                self.messages.append(("receipts", sender, to, answer))

    def kill(self) -> None:
        """A process dies and starts again: what was only in memory is gone."""
        parties: list[Sender | Center] = [*self.senders, self.center]
        party = self.chance.choice(parties)
        self.story.append(f"kill {party.name}")
        party.open()

    def back_up(self) -> None:
        sender = self.chance.choice(self.senders)
        sender.backup = sender.store.copy()

    def restore(self) -> None:
        """A disk is replaced by an older copy of it."""
        sender = self.chance.choice(self.senders)
        if sender.backup is not None:
            self.story.append(f"restore {sender.name}")
            self.rolled_back |= sender.store.ever - sender.backup.ever
            sender.store = sender.backup.copy()
            sender.open()

    def back_up_center(self) -> None:
        self.center.backup = self.center.disk.copy()

    def restore_center(self) -> None:
        """The sink and its memory go back in time together: what is gone from both is a hole that states show."""
        if self.center.backup is not None:
            self.story.append("restore center")
            self.center.disk = self.center.backup.copy()
            self.center.open()

    def clone(self) -> None:
        """A machine is copied, once a world, and both run on under one name.

        A live clone is copied with its memory: then both go on in the same epoch and give the same names.
        """
        if self.is_forked or self.chance.random() < 0.5:
            return
        self.is_forked = True
        agent = self.chance.choice(self.agents)
        self.story.append(f"{self.fate} {agent.name}")
        twin = Sender(agent.name, agent.store.copy(), next_hop=agent.next_hop, rules=self.rules, chance=self.chance)
        if self.fate == "live-clone":
            twin.epoch, twin.pending = agent.epoch, list(agent.pending)
            twin.done = list(agent.done)
        self.agents.append(twin)

    # --- the end ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Every party lives on without faults until nothing moves any more, and tells its state."""
        for _ in range(HEALING_ROUNDS):
            for sender in self.senders:
                self._commit(sender)
                for key, held in list(sender.store.held.items()):
                    if key not in sender.store.parked:
                        self._send(sender, held)
            while self.messages:
                self._deliver(self.messages.pop(0))
            for hop in self.hops:
                self._commit_hop(hop)
            if self._is_still():
                break
        for sender in self.senders:
            self._hear_state(encode_state(sender.state()))

    def _is_still(self) -> bool:
        waiting = any(set(sender.store.held) - sender.store.parked for sender in self.senders)
        return not (waiting or self.messages or self.center.group)
