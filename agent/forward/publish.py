"""Flights onto the wire of one connection, and what the broker says to each.

flight ──room? receipts heard?──► PUBLISH ──► PUBACK: noted; refused: held back or shown; too large: parked
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from agent.forward.sender import Sender
from agent.forward.settings import BROKER
from agent.forward.window import Flight
from agent.parking import TOO_LARGE
from wire import topics
from wire.batch import Batch, Hop, decode_head, decode_rows, encode_payload
from wire.client import NO_SUBSCRIBERS, PACKET_TOO_LARGE, Client, Disconnected, NotDelivered
from wire.names import LANES
from wire.receipts import COMMITTED, Receipt
from wire.render import render_rows

ALONE_SECONDS: Final = 25.0  # above what the connection itself waits for a PUBACK


class Publisher:
    """Publishes on one connection."""

    def __init__(self, client: Client, sender: Sender, *, judge: Callable[[str, Receipt], None]) -> None:
        """Take whom the broker's own word is told to, where that is what confirms."""
        self._client = client
        self._sender = sender
        self._judge = judge
        self._sites: set[str] = set()  # whose receipts are heard

    async def hear(self, site: str) -> None:
        """Hear the receipts for our batches of a site.

        Raises:
            NotDelivered: the broker refuses.
            Disconnected: the connection was lost.
        """
        if site not in self._sites:
            sender = self._sender
            await self._client.hear(topics.down(sender.settings.root, site, sender=sender.agent))
            self._sites.add(site)

    async def room(self) -> None:
        """Wait until the broker takes one more message."""
        while self._client.in_flight >= self._client.receive_maximum:
            await self._woken()

    async def _woken(self) -> None:
        self._sender.wake.clear()
        await self._sender.wake.wait()

    async def publish(self, flight: Flight) -> None:
        """Send a flight as soon as the broker takes it, its receipts being heard."""
        origin = self._sender.origins.of(flight.held)
        await self.room()
        try:
            await self.hear(origin.site)
        except NotDelivered as error:
            if origin.site == self._sender.site:
                raise
            remedy = "let the broker's ACL grant it, as config/mosquitto/acl does"
            self._sender.hold_back(origin, reason=f"the receipts of that site are not ours: {error}", remedy=remedy)
            return
        self.send(flight)

    async def publish_alone(self, flight: Flight) -> None:
        """Send a flight when nothing else is out, and wait for its PUBACK: what ends the connection now is its doing.

        Raises:
            Disconnected: no PUBACK came, and the connection was cut.
        """
        window = self._sender.window
        while any(other.is_out for other in window.flights.values()):
            await self._woken()
        flight.alone = True
        await self.publish(flight)
        try:
            async with asyncio.timeout(ALONE_SECONDS):
                while flight.is_out and window.flights.get(flight.held.name) is flight:
                    await self._woken()
        except TimeoutError:
            self._client.drop(f"no PUBACK within {ALONE_SECONDS:g} s")
            raise Disconnected(self._client.why_lost) from None
        flight.alone, flight.losses = False, 0

    def send(self, flight: Flight) -> None:
        """Send a flight now, or park it where the broker can never take it."""
        sender, held = self._sender, flight.held
        if sender.window.flights.get(held.name) is not flight:
            return  # its receipt came, or it was evicted, while we waited for room
        payload = self._payload(flight)
        if not self._client.fits(len(payload)):
            sender.park(flight, TOO_LARGE)
            return
        flight.attempt += 1
        flight.sent = time.monotonic()
        flight.is_out, flight.acked = True, False
        site = sender.origins.of(held).site
        topic = topics.up(sender.settings.root, site, sender=sender.agent, stream=held.stream)
        self._client.publish_soon(topic, payload).add_done_callback(lambda done: self._on_puback(flight, done))
        sender.sent_batches += 1
        sender.sent_bytes += len(payload)
        if flight.attempt == 1:
            sender.sent_rows += held.rows
        else:
            sender.resent += 1
        sender.tell(held.name, "sent")

    def _payload(self, flight: Flight) -> bytes:
        held, sender = flight.held, self._sender
        hop = Hop(sender.agent, sender.settings.tier, (), flight.attempt + 1, time.time_ns())
        if sender.settings.encoding == "msgpack":
            return encode_payload(hop, digest=held.digest, head=held.head, body=held.body)
        head = decode_head(held.head)
        rows = decode_rows(Batch(hop, held.digest, held.head, held.body, head))
        lane = LANES[head.lane]
        envelope = {"stream": head.stream, "site": head.site, "agent": head.agent, "epoch": head.epoch.hex()}
        return render_rows(head.columns, rows, envelope={**envelope, "lane": lane, "seq": head.seq})

    def _on_puback(self, flight: Flight, done: asyncio.Future[int]) -> None:
        sender = self._sender
        sender.wake.set()
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, NotDelivered):
            self._on_refusal(flight, error)
            return
        flight.is_out, flight.acked, flight.losses = False, True, 0
        sender.denied = None
        sender.no_subscriber_ns = time.time_ns() if done.result() == NO_SUBSCRIBERS else None
        sender.tell(flight.held.name, "acked")
        if sender.settings.confirm == (BROKER,) and done.result() == 0:
            self._judge(BROKER, Receipt(flight.held.name, flight.held.digest, COMMITTED))

    def _on_refusal(self, flight: Flight, error: NotDelivered) -> None:
        """The broker did not take it. A lost connection is counted where its end is seen."""
        sender = self._sender
        if self._client.is_lost:
            return
        flight.is_out, flight.acked = False, error.code is not None
        if sender.window.flights.get(flight.held.name) is not flight or error.code is None:
            return
        origin = sender.origins.of(flight.held)
        if error.code == PACKET_TOO_LARGE:
            sender.park(flight, TOO_LARGE)
        elif origin != sender.origins.ours:
            remedy = "let the broker's ACL grant it, as config/mosquitto/acl does"
            sender.hold_back(origin, reason=f"the broker refuses them: {error}", remedy=remedy)
        else:
            sender.denied = f"the broker refuses our batches: {error}"
