"""Bytes of no meaning, and valid ones with a bit turned over, at every port and topic.

Nobody ends, no whole line is lost, and what could not be read is counted where it came in.
"""

from collections.abc import Iterator

import aiomqtt
import pytest
from parts.noise import bent, flipped, noise, overhear, throw_datagrams, throw_questions, throw_streams
from parts.siege import besieged, lasting
from parts.site import AGENT, SITE

from wire.receipts import COMMITTED, OUTCOMES

UP, DOWN = f"edgepost/v1/up/{SITE}/{AGENT}", f"edgepost/v1/down/{SITE}/{AGENT}"
STREAM = f"{UP}/syslog"
OF_NOBODY = ("edgepost/v1/up/A/b/c", "edgepost/v1/up/../etc/passwd", f"edgepost/v1/up/{SITE}/-/state", f"{UP}/\u202ex")
UNREADABLE = (STREAM, f"{UP}/state", "edgepost/v1/up/a/b/c")
UNHEARD = (f"{UP}/a/b", "edgepost/v2/up/lab/edge-1/syslog", "edgepost/v1/down/_probe/center")
EACH = 20
FAMILIES = (
    b"<13>Oct 11 22:14:15 host su[12]: 'su root' failed for lonvick on /dev/pts/8",
    b'<165>1 2026-11-24T01:59:59.123456+07:00 host app 12 ID47 [a@1 b="c"][d e="f"] xin ch\xc3\xa0o',
    b'<189>date=2026-11-24 time=01:59:59 devname="FG" devid="FG1" logid="0000000013" type="traffic" action="deny"',
    b"<166>Nov 24 2026 01:59:59 asa : %ASA-6-302013: Built outbound TCP connection 17 for outside:192.0.2.1/443",
    b"<14>Nov 24 01:59:59 host CEF:0|Vendor|Product|1.0|100|name|5|src=192.0.2.1 msg=text",
    b"87 <13>Oct 11 22:14:15 host su: counted",
)

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


@lasting
async def test_random_bytes_at_every_port_and_topic_cost_no_whole_line(tmp_path, seconds):
    async with besieged(tmp_path, "random bytes at every port and topic") as siege:
        one, sent = siege.one, 0
        for draw in siege.rounds(seconds):
            await throw_datagrams(one.port, noise(draw, count=300))
            await throw_datagrams(one.port, noise(draw, count=30, most=60_000))
            await throw_streams(one.port, noise(draw, count=20, most=100_000))
            await throw_questions(one.socket, noise(draw, count=40, most=20_000))
            await throw_questions(one.sink_dir / "center.sock", noise(draw, count=20, most=20_000))
            async with aiomqtt.Client("127.0.0.1", siege.broker.port) as client:
                for topic in (*UNREADABLE, *OF_NOBODY, *UNHEARD, DOWN):
                    for data in noise(draw, count=EACH):
                        await client.publish(topic, data, qos=1)
            sent += EACH
            await siege.goes_on()
        held = await siege.lift()
    assert held.strange, "the noise became rows too"
    assert len(UNREADABLE) * sent == held.counts["refused-undecodable"] + held.counts.get("refused-limit", 0)
    assert len(OF_NOBODY) * sent == held.counts["refused-topic"]
    assert (len(UNREADABLE) - 1) * sent == held.forward["ignored_receipts"]["undecodable"]


@lasting
async def test_valid_lines_with_a_bit_turned_over_become_rows(tmp_path, seconds):
    async with besieged(tmp_path, "valid lines, bits flipped") as siege:
        datagrams = 0
        for draw in siege.rounds(seconds):

            def lines(count: int) -> Iterator[bytes]:
                for n in range(count):
                    yield flipped(FAMILIES[n % len(FAMILIES)], draw)  # noqa: B023 - used in this round

            await throw_datagrams(siege.one.port, lines(600))
            datagrams += 600
            await throw_streams(siege.one.port, [b"\n".join(lines(60)) for _ in range(10)])
            await siege.goes_on()
        held = await siege.lift()
    assert len(held.strange) > datagrams - held.drops.get("kernel", 0)
    assert set(held.drops) <= {"kernel", "cut", "empty"}


@lasting
async def test_valid_batches_that_are_bent_are_refused_and_each_is_counted(tmp_path, seconds):
    """Only the hop stands outside the digest: bent there, a batch is itself, and a repeat."""
    async with besieged(tmp_path, "valid batches, bits flipped") as siege:
        payloads = await overhear(siege.broker.port, STREAM, count=8)
        sent = 0
        async with aiomqtt.Client("127.0.0.1", siege.broker.port) as client:
            for draw in siege.rounds(seconds):
                for payload in payloads * 25:
                    await client.publish(STREAM, bent(payload, draw), qos=1)
                    sent += 1
                await siege.goes_on()
        held = await siege.lift()
    assert {"refused-undecodable", "refused-digest", "repeat"} <= set(held.counts)
    assert sent == sum(held.counts.get(outcome, 0) for outcome in OUTCOMES - {COMMITTED})


@lasting
async def test_bent_states_are_refused_or_say_nothing_of_anybody_else(tmp_path, seconds):
    async with besieged(tmp_path, "valid states, bits flipped") as siege:
        states = await overhear(siege.broker.port, f"{UP}/state", count=1)
        async with aiomqtt.Client("127.0.0.1", siege.broker.port) as client:
            for draw in siege.rounds(seconds):
                for _ in range(200):
                    await client.publish(f"edgepost/v1/up/{SITE}/mallory/state", bent(states[0], draw), qos=1)
                await siege.goes_on()
        held = await siege.lift()
    assert 0 < held.counts["refused-undecodable"]
