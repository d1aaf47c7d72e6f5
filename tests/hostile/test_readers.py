"""Readers of the status socket that ask and then read nothing, while large messages come."""

import socket
from contextlib import ExitStack

import pytest
from parts.noise import throw_streams
from parts.siege import Siege, besieged, lasting

from agent.answer import MAX_CLIENTS

LINE = b"<13>Oct 11 22:14:15 host su: " + "đ".encode() * 32_000  # one character that is not ASCII doubles a str

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(240)]


def ask_and_leave_unread(siege: Siege, question: bytes, stack: ExitStack) -> None:
    reader = stack.enter_context(socket.socket(socket.AF_UNIX))
    reader.connect(str(siege.one.socket))
    reader.sendall(question + b"\n")


@lasting
async def test_tails_that_nobody_reads_lose_rows_and_not_the_memory_of_the_agent(tmp_path, seconds):
    async with besieged(tmp_path, "tails that nobody reads, large messages") as siege:
        lines = 0
        with ExitStack() as stack:
            for _ in range(MAX_CLIENTS - 2):
                ask_and_leave_unread(siege, b'{"verb": "tail", "stream": "syslog"}', stack)
            for _ in siege.rounds(seconds):
                await throw_streams(siege.one.port, [b"\n".join([LINE] * 200)] * 8)
                lines += 1_600
                await siege.goes_on()
        held = await siege.lift()
    assert lines == len(held.strange)
