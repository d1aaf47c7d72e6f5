"""SIGTERM under load: the agent ends within its grace time, and each byte that its kernel had taken is accounted for."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from parts.brokers import mosquitto
from parts.pouring import LINE_BYTES, Pourer, arrived, line
from parts.reliability import Survived, record
from parts.site import Site, site, until
from parts.source import judge, sending

RATE = 4000.0
GRACE_SECONDS = 4.0
MARGIN_SECONDS = 6.0  # to commit and close, on a busy machine
PAUSE_SECONDS = 0.01  # after 20 lines of one connection

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(120)]


@asynccontextmanager
async def stopping_site(folder: Path) -> AsyncIterator[Site]:
    async with (
        mosquitto(folder / "broker") as broker,
        site(folder / "site", broker, stop_grace_seconds=GRACE_SECONDS) as one,
    ):
        yield one


def declared(one: Site, *reasons: str) -> int:
    """What the agent said at the center that it had lost, in the reasons' unit."""
    rows = [row["detail"] for row in one.rows("agent") if row["event"] == "dropped"]
    return sum(detail["count"] for detail in rows if detail["reason"] in reasons)


@pytest.mark.parametrize("is_receiver_there", [True, False], ids=["receiver there", "receiver away"])
async def test_of_senders_who_go_on_each_byte_that_the_kernel_took_is_a_row_or_is_declared(tmp_path, is_receiver_there):
    async with stopping_site(tmp_path) as one:
        pourers = [Pourer.connect(one.port, number) for number in range(20)]
        pouring = [asyncio.create_task(each.pour(pause_seconds=PAUSE_SECONDS)) for each in pourers]
        await until(lambda: one.account().get("received", 0) > 1_000, seconds=30, what="lines arrive", log=one.log)
        if not is_receiver_there:
            await one.receiver.kill()
        asked = time.monotonic()
        assert await one.agent.end(signal.SIGTERM) == 0, one.log()
        took = time.monotonic() - asked
        await asyncio.wait(pouring)
        acked = {each.number: each.acked_bytes for each in pourers}
        for each in pourers:
            each.sock.close()
        if not is_receiver_there:
            await one.start_receiver()
        await one.start_agent()
        account = await one.drained()
        numbers, broken = arrived(one.rows())
        whole = sum(map(len, numbers.values()))
        missing = sum(acked.values()) - whole * LINE_BYTES
        said = declared(one, "stop-bytes")
        record(
            Survived(
                f"SIGTERM under load, receiver {'there' if is_receiver_there else 'away'}",
                1,
                sum(size // LINE_BYTES for size in acked.values()),
                whole,
                0,
                said // LINE_BYTES,
                account,
                one.committed_rows(),
                "closed" if one.ledger()["closed"] else "missing",
            )
        )
        assert took < GRACE_SECONDS + MARGIN_SECONDS
        assert {number: list(range(len(each))) for number, each in numbers.items()} == numbers, "no hole, none twice"
        assert missing <= said + (LINE_BYTES - 1) * len(pourers), "no byte is lost without a number"
        assert all(text.startswith("cut: n=") for text in broken), broken
        assert len(broken) <= len(pourers)
        assert account == {"received": whole + len(broken), "confirmed": whole + len(broken)}
        assert one.committed_rows() == whole + len(broken)
        assert one.ledger()["closed"], one.ledger()


async def test_all_that_waited_in_the_kernel_when_sigterm_came_arrives(tmp_path):
    """The agent stands still while two hundred and fifty senders connect and hand over; it learns of them at the stop."""
    datagrams = 100  # few enough for the smallest buffer that a kernel grants
    async with stopping_site(tmp_path) as one:
        os.kill(one.agent.pid, signal.SIGSTOP)
        pourers = [Pourer.connect(one.port, number) for number in range(250)]
        for each in pourers:
            await each.pour(20)
        for each in pourers[::2]:
            each.sock.shutdown(socket.SHUT_WR)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for number in range(datagrams):
                out.sendto(line(number, 999), ("127.0.0.1", one.port))
        os.kill(one.agent.pid, signal.SIGTERM)
        os.kill(one.agent.pid, signal.SIGCONT)
        endings = await asyncio.gather(*(ending(each.sock) for each in pourers))
        assert await one.agent.end(signal.SIGTERM) == 0, one.log()
        await one.start_agent()
        await one.drained()
        numbers, broken = arrived(one.rows())
        assert [] == broken
        assert {**{n: list(range(20)) for n in range(250)}, 999: list(range(datagrams))} == numbers
        assert 0 == declared(one, "stop", "stop-bytes", "kernel")
        assert ["closed", "reset"] * 125 == endings


async def ending(sock: socket.socket) -> str:
    """Wait until the other end has closed, and tell how."""
    with sock:
        try:
            while await asyncio.get_running_loop().sock_recv(sock, 100):
                pass
        except ConnectionError:
            return "reset"
    return "closed"


async def test_every_line_that_was_sent_before_a_quiet_moment_survives_the_stop(tmp_path):
    """Here nothing is unread when SIGTERM comes, so not one line may be missing."""
    async with stopping_site(tmp_path) as one:
        async with sending(one.port, rate=RATE) as source:
            await until(lambda: source.sent > RATE, seconds=20, what="lines are sent", log=one.log)
        assert await one.agent.end(signal.SIGTERM) == 0, one.log()
        await one.start_agent()
        account = await one.drained()
        assert judge(source, one.rows()).lost_by == {}
        assert account == {"received": source.sent, "confirmed": source.sent}
