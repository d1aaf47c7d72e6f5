"""Senders that hold connections: silent ones, and ones that never come to the end of a line.

Here belongs, with the TLS listener: a client that never finishes its handshake. A thousand of them, some silent, some
after half a ClientHello, beside a device whose lines all arrive; closed at the handshake's time-out, and counted.
"""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from parts.siege import Siege, besieged, lasting
from parts.site import until

IDLE = 1_000
LIMIT = 1_024  # max_connections, as it ships
SYSTEMD_FILES = 1_024  # the soft limit that a service starts with; its hard limit is far above
HELD_BYTES = 64_000  # of an unfinished line: below max_message_bytes
HOLDERS = 320  # times HELD_BYTES is more than the budget of 16 MiB

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


@contextmanager
def few_files() -> Iterator[None]:
    """Start what is started meanwhile as systemd would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SYSTEMD_FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def connect(siege: Siege, number: int, stack: ExitStack) -> list[socket.socket]:
    """Open connections, no faster than they are accepted."""
    opened = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # ours; the agent runs already, under its own
    for _ in range(number):
        opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", siege.one.port))))
        opened[-1].setblocking(False)
        if len(opened) % 64 == 0:
            await asyncio.sleep(0.02)
    return opened


def connections(siege: Siege) -> int:
    status = siege.one.status_or_none()
    assert status is not None, siege.one.log()
    return next(one["connections"] for one in status["collectors"][0]["report"]["listeners"] if "connections" in one)


async def send(sock: socket.socket, data: bytes) -> None:
    """Send, as far as the other end still wants it."""
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(sock, data)


@lasting
async def test_a_thousand_idle_connections_take_nothing_from_anybody(tmp_path, seconds):
    """The broker goes and comes back meanwhile: that takes descriptors, which are not theirs to take."""
    with few_files():
        stack = ExitStack()
        async with besieged(tmp_path, "1,000 idle connections, broker restarted") as siege:
            with stack:
                await connect(siege, IDLE, stack)
                await until(lambda: connections(siege) == IDLE + 1, seconds=10, what="all are accepted")
                await siege.broker.kill()
                await siege.broker.start()
                for _ in siege.rounds(seconds):
                    await siege.goes_on()
                held = await siege.lift()
    assert (held.drops, held.strange) == ({}, [])


@lasting
async def test_connections_beyond_the_limit_are_refused_and_counted(tmp_path, seconds):
    refused = 0
    async with besieged(tmp_path, "connections beyond the limit") as siege:
        with ExitStack() as stack:
            await connect(siege, LIMIT - 1, stack)
            await until(lambda: connections(siege) == LIMIT, seconds=10, what="all are accepted")
            for _ in siege.rounds(seconds):
                with ExitStack() as more:
                    await connect(siege, 50, more)
                    refused += 50
                    await siege.goes_on()
            held = await siege.lift()
    assert (held.drops, held.strange) == ({"connection-limit": refused}, [])


@lasting
async def test_lines_that_never_end_are_held_within_the_budget_and_cut(tmp_path, seconds):
    """Many hold the beginning of a line and drip; one sends without an end. What is cut is a row, flagged `cut`."""
    async with besieged(tmp_path, "lines that never end") as siege:
        with ExitStack() as stack:
            holders = await connect(siege, HOLDERS, stack)
            (endless,) = await connect(siege, 1, stack)
            for sock in holders:
                await send(sock, b"<13>" + b"x" * HELD_BYTES)
            for draw in siege.rounds(seconds):
                await send(endless, b"y" * 1_000_000)
                for _ in range(500):
                    await send(draw.choice(holders), b"z")
                await siege.goes_on()
        await until(lambda: connections(siege) == 1, seconds=10, what="all have gone")
        held = await siege.lift()
    assert HOLDERS + 1 == len(held.strange)
    assert {"cut", "read-budget"} == set(held.drops)
    assert held.drops["read-budget"] >= HOLDERS - (16 << 20) // HELD_BYTES
