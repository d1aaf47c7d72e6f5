"""An agent that publishes under another's name, or uses another's names for batches of its own.

The receiver refuses what its topic cannot have carried; `config/mosquitto/acl` lets the broker refuse the rest.
"""

from pathlib import Path

import pytest
from parts.center import kept
from parts.noise import overhear
from parts.sender import sender
from parts.siege import Siege, besieged, lasting
from parts.site import AGENT, SITE

from wire import topics
from wire.batch import decode_payload
from wire.client import NotDelivered
from wire.receipts import COMMITTED, REJECTED
from wire.state import Span, State, encode_state

ACL = Path(__file__).resolve().parents[2] / "config" / "mosquitto" / "acl"
MALLORY = "mallory"
VICTIMS = topics.up("edgepost", SITE, sender=AGENT, stream="syslog")
NOT_AUTHORIZED = 0x87  # MQTT 5 section 3.4.2.1

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


def as_mallory(siege: Siege):
    return sender(siege.broker.url, agent=MALLORY, site=SITE)


@lasting
async def test_batches_of_another_name_than_their_topics_are_refused_kept_and_counted(tmp_path, seconds):
    async with besieged(tmp_path, "batches under another's name") as siege, as_mallory(siege) as mallory:
        sent = 0
        for _ in siege.rounds(seconds):
            await mallory.send(mallory.batch(["forged"], agent=AGENT))
            await mallory.send(mallory.batch(["forged"], site="elsewhere"))
            await mallory.send(mallory.batch(["forged"], stream="syslog"), topic=mallory.topic("log"))
            sent += 3
            await mallory.send(mallory.batch(["forged"]), topic=VICTIMS)  # its receipt goes to the victim
            said = await mallory.receipts(sent)
            await siege.goes_on()
        held = await siege.lift()
        there = [reason for reason, _ in kept(siege.one.sink_dir) if reason == "not-relay"]
    assert {(REJECTED, "not-relay")} == {(receipt.outcome, receipt.reason) for receipt in said}
    assert sent * 4 // 3 == held.counts["refused-not-relay"] == len(there)
    assert [] == held.strange


async def test_a_batch_under_ones_own_name_takes_nothing_from_the_one_whose_epoch_it_uses(tmp_path):
    """A repeat of the victim's batch must not meet the digest of mallory's."""
    async with besieged(tmp_path, "own batches under another's epoch") as siege, as_mallory(siege) as mallory:
        (payload,) = await overhear(siege.broker.port, VICTIMS, count=1)
        name = decode_payload(payload).name
        await siege.goes_on()
        await mallory.send(mallory.batch(["mine"], epoch=name.epoch, lane=name.lane, seq=name.seq))
        (receipt,) = await mallory.receipts(1)
        await mallory.send_bytes(payload, topic=VICTIMS)
        held = await siege.lift()
    assert COMMITTED == receipt.outcome
    assert (1, 0) == (held.counts.get("repeat", 0), held.counts.get("rejected", 0))


async def test_other_bytes_under_a_name_that_is_taken_are_a_conflict_and_kept(tmp_path):
    async with besieged(tmp_path, "other bytes under one name") as siege, as_mallory(siege) as mallory:
        await mallory.send(mallory.batch(["one"], seq=1), mallory.batch(["two"], seq=1), mallory.batch(["two"], seq=1))
        said = await mallory.receipts(3)
        held = await siege.lift()
        there = [reason for reason, _ in kept(siege.one.sink_dir) if reason == "conflict"]
    assert [(COMMITTED, None), (REJECTED, "conflict"), (REJECTED, "conflict")] == [each[2:] for each in said]
    assert 2 == held.counts["rejected"] == len(there)


@lasting
async def test_with_the_acl_the_broker_refuses_another_name(tmp_path, seconds):
    async with (
        besieged(tmp_path, "another's name, with the ACL", acl=ACL.read_text(encoding="utf-8")) as siege,
        as_mallory(siege) as mallory,
    ):
        forged = mallory.batch(["forged"], agent=AGENT, stream="syslog").payload
        lost = encode_state(State(False, mallory.epoch, 1, spans=(Span(mallory.epoch, 1, 1, 1 << 40),)))
        for _ in siege.rounds(seconds):
            for topic, payload in ((VICTIMS, forged), (topics.state("edgepost", SITE, sender=AGENT), lost)):
                with pytest.raises(NotDelivered) as caught:
                    await mallory.send_bytes(payload, topic=topic)
                assert NOT_AUTHORIZED == caught.value.code
            await mallory.send(mallory.batch(["her own"]))
            await siege.goes_on()
        held = await siege.lift()
    assert {"connections", "committed"} == set(held.counts)
