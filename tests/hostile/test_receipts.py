"""Receipts from somebody who is no receiver: without an ACL they must change nothing, with it they cannot be sent."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from parts.noise import overhear
from parts.siege import Siege, besieged, lasting
from parts.site import AGENT, SITE

from wire import topics
from wire.batch import Batch, decode_payload
from wire.client import Broker, Client, NotDelivered, connect, waiting_message
from wire.receipts import OUTCOMES, Receipt, encode_receipts

ACL = Path(__file__).resolve().parents[2] / "config" / "mosquitto" / "acl"
DOWN = topics.down("edgepost", SITE, sender=AGENT)
NOT_AUTHORIZED = 0x87  # MQTT 5 section 3.4.2.1
OTHER_DIGEST = bytes(16)

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let a process stand still, so that what is sent to it stays unanswered."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def login(siege: Siege, user: str = "mallory"):
    return connect(Broker(url=siege.broker.url, user=user), client_id=f"{user}-1")


async def batches_in_flight(siege: Siege) -> list[Batch]:
    topic = topics.up("edgepost", SITE, sender=AGENT, stream="syslog")
    return [decode_payload(payload) for payload in await overhear(siege.broker.port, topic, count=3)]


def forged(batch: Batch) -> list[Receipt]:
    """Whatever may be said of a batch by somebody who has not got its digest right."""
    name, digest = batch.name, batch.digest
    unknown = [name._replace(epoch=os.urandom(16)), name._replace(seq=name.seq + 100_000), name._replace(lane=2)]
    right_name = [Receipt(name, OTHER_DIGEST, outcome, "conflict") for outcome in sorted(OUTCOMES)]
    return right_name + [Receipt(other, digest, outcome) for other in unknown for outcome in sorted(OUTCOMES)]


def unreadable(group: str = "center") -> Iterator[bytes]:
    """What no agent may take for receipts, some of it much in memory."""
    yield b""
    yield b"\x93\x01\xa6center" + b"\xdd\x00\x00\x27\x10" * 500
    yield b"\x93\x01\xa6center\xdc\x27\x10" + b"\x90" * 10_000
    yield b"\xdd\xff\xff\xff\xff" * 100_000
    yield msgspec.msgpack.encode([1, group, [[b"short", 1, 1, b"x", "committed", None]]])
    yield msgspec.msgpack.encode([2, group, []])


async def forge(client: Client, siege: Siege) -> dict[str, int]:
    """Say everything that is false; give how much of each."""
    said = dict.fromkeys(("other-digest", "not-in-flight", "other-group", "undecodable", "limit"), 0)
    with frozen(siege.one.receiver.pid):
        for batch in await batches_in_flight(siege):
            receipts = forged(batch)
            await client.publish_acked(DOWN, encode_receipts("center", receipts))
            await client.publish_acked(
                DOWN, encode_receipts("stranger", [Receipt(batch.name, batch.digest, "committed")])
            )
            await client.publish_acked(DOWN, encode_receipts("center", []))
            said["other-digest"] += len(OUTCOMES)
            said["not-in-flight"] += len(receipts) - len(OUTCOMES)
            said["other-group"] += 1
        for payload in unreadable():
            await client.publish_acked(DOWN, payload)
            said["undecodable"] += 1
        await client.publish_acked(DOWN, bytes(1 << 20 | 1))
        said["limit"] += 1
    return said


@lasting
async def test_without_an_acl_forged_receipts_end_no_custody_and_are_counted(tmp_path, seconds):
    async with besieged(tmp_path, "forged receipts, no ACL") as siege, login(siege) as mallory:
        said: dict[str, int] = {}
        for _ in siege.rounds(seconds):
            for reason, number in (await forge(mallory, siege)).items():
                said[reason] = said.get(reason, 0) + number
            await siege.goes_on()
        held = await siege.lift()
    late = {reason: number - said[reason] for reason, number in held.forward["ignored_receipts"].items()}
    assert 0 <= late.pop("not-in-flight"), "of batches that were sent twice while the receiver stood still"
    assert dict.fromkeys(late, 0) == late
    assert 0 == held.forward["parked"]


@lasting
async def test_with_the_acl_not_even_a_true_receipt_can_be_sent_by_an_agent(tmp_path, seconds):
    async with (
        besieged(tmp_path, "forged receipts, with the ACL", acl=ACL.read_text(encoding="utf-8")) as siege,
        login(siege) as mallory,
    ):
        await mallory.hear("edgepost/v1/#")
        for _ in siege.rounds(seconds):
            for payload in (encode_receipts("center", []), *unreadable()):
                with pytest.raises(NotDelivered) as caught:
                    await mallory.publish_acked(DOWN, payload)
                assert NOT_AUTHORIZED == caught.value.code
            await siege.goes_on()
        held = await siege.lift()
        assert waiting_message(mallory) is None, "she hears neither batches nor receipts"
    assert {} == held.forward["ignored_receipts"]
