"""The receiver's socket: few clients, one line each, and nothing that one of them does ends anything."""

import asyncio
import json
import random
import socket
import sqlite3
from contextlib import asynccontextmanager

from center import serve
from center.serve import serve_ledger

SECONDS = 10
LEDGER = {"closed": True}


async def ledger():
    return LEDGER


@asynccontextmanager
async def serving(path, ask=ledger):
    task = asyncio.create_task(serve_ledger(path, ask))
    async with asyncio.timeout(SECONDS):
        while not path.is_socket():
            await asyncio.sleep(0.01)
    try:
        yield task
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def said(path, line=b"ledger\n"):
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        answer = await reader.readline()
        writer.close()
    return answer


async def until_answered(path):
    """Ask until there is a place for one more client."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return json.loads(await said(path))
            except (ConnectionError, ValueError):
                await asyncio.sleep(0.01)


async def test_a_line_is_answered_with_the_ledger(tmp_path):
    async with serving(tmp_path / "s"):
        assert LEDGER == json.loads(await said(tmp_path / "s"))


async def test_the_socket_is_for_owner_and_group_and_goes_with_the_receiver(tmp_path):
    async with serving(tmp_path / "s"):
        assert 0o660 == (tmp_path / "s").stat().st_mode & 0o777
    assert not (tmp_path / "s").exists()


async def test_a_socket_left_by_a_killed_receiver_is_replaced(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    async with serving(tmp_path / "s"):
        assert LEDGER == await until_answered(tmp_path / "s")


async def test_random_bytes_and_clients_that_say_nothing_end_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.05)
    draw = random.Random(4)
    async with serving(tmp_path / "s"):
        reader, _ = await asyncio.open_unix_connection(tmp_path / "s")
        for size in (1, 100, 5000, 100_000):
            _, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(draw.randbytes(size))
            writer.close()
        async with asyncio.timeout(SECONDS):
            assert b"" == await reader.read(), "who says nothing is let go"
        assert LEDGER == await until_answered(tmp_path / "s")


async def test_the_seventeenth_client_is_let_go_and_a_place_gets_free_again(tmp_path):
    async with serving(tmp_path / "s"):
        waiting = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(serve.MAX_CLIENTS)]
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        async with asyncio.timeout(SECONDS):
            assert b"" == await reader.read()
        writer.close()
        for _, other in waiting:
            other.close()
        assert LEDGER == await until_answered(tmp_path / "s")


async def test_a_client_that_reads_nothing_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "ANSWER_SECONDS", 0.05)

    async def much():
        return {"much": "x" * (1 << 24)}

    async with serving(tmp_path / "s", much):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            client.sendall(b"ledger\n")
            await until_no_client("ledger client")


async def until_no_client(name):
    async with asyncio.timeout(SECONDS):
        seen = False
        while not seen or any(task.get_name() == name for task in asyncio.all_tasks()):
            seen = seen or any(task.get_name() == name for task in asyncio.all_tasks())
            await asyncio.sleep(0.001)


async def test_a_bug_in_answering_ends_nothing_and_is_said(tmp_path, caplog):
    async def bug():
        return {"closed": 1 // 0}

    async with serving(tmp_path / "s", bug):
        for _ in range(2):
            assert b"" == await said(tmp_path / "s")
    assert 2 == caplog.text.count("ZeroDivisionError: ")


async def test_a_memory_that_cannot_be_read_is_answered_in_words(tmp_path):
    async def broken():
        raise sqlite3.OperationalError("unable to open database file")

    async with serving(tmp_path / "s", broken):
        assert "unable to open" in json.loads(await said(tmp_path / "s"))["error"]


async def test_a_place_where_no_socket_can_be_is_a_state_and_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(serve, "RETRY_SECONDS", 0.01)
    path = tmp_path / "s"
    path.mkdir()
    task = asyncio.create_task(serve_ledger(path, ledger))
    async with asyncio.timeout(SECONDS):
        while "no socket for the ledger" not in caplog.text:
            await asyncio.sleep(0.01)
        path.rmdir()
        assert LEDGER == await until_answered_at(path)
    task.cancel()
    await asyncio.wait([task])
    assert 1 == caplog.text.count("no socket for the ledger")


async def until_answered_at(path):
    while not path.is_socket():
        await asyncio.sleep(0.01)
    return await until_answered(path)
