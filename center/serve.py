r"""The receiver's socket, `DIR/center.sock`: one line in, the ledger as one line of JSON out.

    edgepost-center ledger DIR ──"ledger\n"──► receiver ──{...}\n──► text, or the JSON itself

A client can only ask, has a few seconds to do so and to read, and is one of at most `MAX_CLIENTS`.
"""

import asyncio
import json
import logging
import os
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Never

MAX_CLIENTS: Final = 16
MAX_REQUEST_BYTES: Final = 4096
REQUEST_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 30.0  # a hundred thousand spans take two seconds; a client that reads nothing, for ever
_MODE_MASK: Final = 0o117  # what 0660 takes away

Ledger = Callable[[], Awaitable[dict[str, Any]]]
log = logging.getLogger("edgepost.center")


async def serve_ledger(path: Path, ledger: Ledger) -> Never:
    """Answer at `path` until cancelled; while the place cannot be used, say so once and try again.

    Whoever calls holds the folder's lock, so a socket that lies there is a dead receiver's.
    """
    told = ""
    while True:
        try:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - one call on a local folder
            listener = _listen(path)
        except OSError as error:
            if str(error) != told:
                log.error("no socket for the ledger, everything else runs: %s: %s", path, error)  # noqa: TRY400  a trace says no more
                told = str(error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await _serve(listener, path, ledger)


async def _serve(listener: socket.socket, path: Path, ledger: Ledger) -> None:
    clients: set[asyncio.Task[None]] = set()

    def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(clients) >= MAX_CLIENTS:
            writer.close()
            return
        task = asyncio.create_task(_talk(reader, writer, ledger), name="ledger client")
        clients.add(task)
        task.add_done_callback(clients.discard)
        task.add_done_callback(_say_bug)

    server = await asyncio.start_unix_server(welcome, sock=listener, limit=MAX_REQUEST_BYTES)
    try:
        async with server:
            await server.serve_forever()
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one call on a local folder
        for task in clients:
            task.cancel()
        if clients:
            await asyncio.wait(clients)


def _say_bug(task: asyncio.Task[None]) -> None:
    """A question never ends the receiver; what went wrong with it is a bug, and is said."""
    if not task.cancelled() and task.exception() is not None:
        log.error("a bug while answering for the ledger", exc_info=task.exception())


def _listen(path: Path) -> socket.socket:
    """Bind with mode 0660 from the first moment on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(_MODE_MASK)
    try:
        listener.bind(str(path))
        listener.listen(MAX_CLIENTS)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Ledger) -> None:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await reader.readline()
        async with asyncio.timeout(ANSWER_SECONDS):
            said = await asyncio.to_thread(json.dumps, await _answer(ledger))
            writer.write(said.encode() + b"\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError, ValueError):  # a client that goes, is slow, or says more than a line
        return
    finally:
        writer.transport.abort()  # nothing is left to be sent, unless it was not taken


async def _answer(ledger: Ledger) -> dict[str, Any]:
    try:
        return await ledger()
    except (OSError, sqlite3.Error) as error:
        return {"error": f"the receiver cannot read its memory: {error}"}
