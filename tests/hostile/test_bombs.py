"""Bombs at the receiver: little on the wire, much in memory. Real `edgepost-center`, behind a real mosquitto.

Every one is refused (or, where it is only large, taken), receipted if its name can be read, and counted; the receiver
goes on receiving everybody else.
"""

from collections.abc import Callable, Iterator

import aiomqtt
import msgspec
import pytest
from parts.batches import bomb, frame, frame_header, make_payload
from parts.sender import Made, Sender, sender
from parts.siege import Bounds, besieged, lasting
from parts.site import AGENT, SITE

from wire import topics
from wire.batch import MAX_PAYLOAD, compress, encode_head
from wire.body import MAX_CELLS
from wire.receipts import COMMITTED, REJECTED

MIB = 1 << 20
MALLORY = "mallory"
LISTS = (("a", "list"),)
NESTED = b"\xdd\x00\x00\x27\x10" * 500  # 500 nested arrays, each said to hold 10,000
OVERSIZED = 16 * MIB  # no packet of that size is taken whole

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(300)]


def bombed(one: Sender, body: bytes, **changes: object) -> Made:
    """A batch with a right name and digest, and any bytes for a body."""
    made = one.batch(["x"], columns=LISTS, **changes)
    return Made(made.head, made.head_bytes, body)


BODIES: dict[str, Callable[[], bytes]] = {
    "16 KiB of zstd that unfold to 512 MiB": lambda: bomb(size=512 * MIB),
    "a frame that declares a KiB and holds 512 MiB": lambda: bomb(size=512 * MIB, declared=1024),
    "a frame that declares four EiB": lambda: frame_header(content=1 << 62) + b"\x01\0\0",
    "a window of 2 GiB": lambda: frame_header(content=3, window_log=31) + b"\x19\0\0" + b"\x91\x91\xc0",
    "a thousand frames": lambda: frame(b"\x91\x91\x90") * 1000,
    "16 MiB of empty lists in one row": lambda: bomb(size=16 * MIB),
    "lists that promise gigabytes": lambda: frame(b"\x91" + NESTED),
    "lists 16,000 deep": lambda: frame(b"\x91" * 16_000),
    "a text of 4 GiB, of which nothing comes": lambda: frame(b"\x91\x91\xdb\xff\xff\xff\xff"),
    "a map of 4 billion keys, of which none comes": lambda: frame(b"\x91\x91\xdf\xff\xff\xff\xff"),
    "an extension": lambda: frame(b"\x91\x91\xc9\xff\xff\xff\xff\x01"),
}


def payloads() -> Iterator[bytes]:
    """What no name can be read from."""
    yield b"\x95\x01" + NESTED
    yield b"\xdf\xff\xff\xff\xff"
    yield b"\xdd\xff\xff\xff\xff" * 100_000
    yield b"\x91" * MAX_PAYLOAD
    yield b"\x80" * MAX_PAYLOAD
    yield make_payload(b"\xdc\x0f\xff" * 1365, body=b"")  # a head of nested lists
    yield bytes(MAX_PAYLOAD + 1)


def states() -> Iterator[bytes]:
    yield b"\x92\x01\x81\xa5spans" + NESTED
    yield b"\x92\x01" + b"\x81\xa1a" * 300_000
    yield b"\x92\x01\xdf\x00\x0f\x42\x40" + b"".join(msgspec.msgpack.encode(str(n)) + b"\x90" for n in range(100_000))
    yield bytes(MAX_PAYLOAD + 1)


@lasting
async def test_bodies_that_unfold_are_rejected_receipted_and_counted(tmp_path, seconds):
    async with (
        besieged(tmp_path, "zstd and MessagePack bombs in batches") as siege,
        sender(siege.broker.url, agent=MALLORY, site=SITE) as one,
    ):
        sent = 0
        for _ in siege.rounds(seconds):
            for body in BODIES.values():
                await one.send(bombed(one, body()))
            sent += len(BODIES)
            said = await one.receipts(sent)
            await siege.goes_on()
        held = await siege.lift()
    assert {REJECTED} == {receipt.outcome for receipt in said}
    assert {"limit", "undecodable"} == {receipt.reason for receipt in said}
    assert sent == held.counts["rejected"]


@lasting
async def test_payloads_and_states_that_nobody_can_read_are_refused_and_counted(tmp_path, seconds):
    async with (
        besieged(tmp_path, "payloads and states nobody can read") as siege,
        sender(siege.broker.url, agent=MALLORY, site=SITE) as one,
    ):
        sent = 0
        for _ in siege.rounds(seconds):
            for payload in payloads():
                await one.send_bytes(payload)
                sent += 1
            for payload in states():
                await one.send_bytes(payload, topic=topics.state(one.root, SITE, sender=MALLORY))
                sent += 1
            await siege.goes_on()
        held = await siege.lift()
    assert sent == held.counts["refused-undecodable"] + held.counts["refused-limit"]
    assert 0 < held.counts["refused-limit"]


@lasting
async def test_the_largest_batches_that_are_taken_take_bounded_memory(tmp_path, seconds):
    """A KiB on the wire, as many cells and as much text as the limits allow: taken, and many of them in one group."""
    async with (
        besieged(tmp_path, "batches as large as is taken", bounds=Bounds(receiver_mib=256)) as siege,
        sender(siege.broker.url, agent=MALLORY, site=SITE) as one,
    ):
        sent = 0
        for _ in siege.rounds(seconds):
            await one.send(*(many_cells(one) for _ in range(5)), much_text(one))
            sent += 6
            said = await one.receipts(sent)
            await siege.goes_on()
        held = await siege.lift()
    assert {COMMITTED} == {receipt.outcome for receipt in said}
    assert "rejected" not in held.counts


def many_cells(one: Sender) -> Made:
    columns = tuple((f"c{index}", "map") for index in range(40))
    rows = MAX_CELLS // len(columns)
    row = b"\xdc\x00\x28" + b"\x80" * len(columns)
    return resized(one, columns, rows=rows, data=b"\xdd" + rows.to_bytes(4, "big") + row * rows)


def much_text(one: Sender) -> Made:
    row = b"\x91\xdb" + (900_000).to_bytes(4, "big") + b"\x01" * 900_000  # which JSON writes in six characters each
    return resized(one, (("a", "str"),), rows=18, data=b"\xdd\x00\x00\x00\x12" + row * 18)


def resized(one: Sender, columns: tuple[tuple[str, str], ...], *, rows: int, data: bytes) -> Made:
    made = one.batch(["x"] * rows, columns=columns)
    return Made(made.head, encode_head(made.head), compress(data))


@lasting
@pytest.mark.parametrize("is_retained", [False, True], ids=["passing", "retained"])
async def test_packets_beyond_every_limit_neither_end_a_connection_nor_prevent_one(tmp_path, seconds, is_retained):
    """Retained ones meet the receiver and the agent each time they subscribe."""
    async with besieged(tmp_path, "packets of 16 MiB", options=["persistence true"]) as siege:
        sent = 0
        async with aiomqtt.Client("127.0.0.1", siege.broker.port) as client:
            for _ in siege.rounds(seconds):
                for topic in (f"edgepost/v1/up/{SITE}/{MALLORY}/log", f"edgepost/v1/down/{SITE}/{AGENT}"):
                    await client.publish(topic, bytes(OVERSIZED), qos=1, retain=is_retained)
                sent += 1
                await siege.goes_on()
        if is_retained:
            await siege.broker.stop()
            await siege.broker.start()
            sent += 1
        held = await siege.lift()
    assert sent == held.counts["refused-limit"] == held.forward["ignored_receipts"]["limit"]
