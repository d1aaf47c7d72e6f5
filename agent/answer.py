"""The agent's side of the status socket: few clients, one short request each, lines of JSON as the answer.

    client ──one JSON line, <= 4 KiB, within 5 s──► verb ──lines, as fast as the client reads──► client

Invariants:
- A client can only ask: nothing it sends is kept, no verb changes settings or data.
- At most `MAX_CLIENTS` at once, a bounded write buffer for each, and one that reads nothing for a minute is let go:
  no client can slow the agent or fill its memory.
- A bug met while one client is answered costs that client its answer; `guard` says it and nothing else ends.
- A socket left behind by a killed agent is replaced; where another agent answers, or the place cannot be used, that
  is a state (logged once, tried again), never an end.
"""

import asyncio
import errno
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Never

Verb = Callable[[Mapping[str, Any]], AsyncGenerator[bytes, None]]
"""From a request to the lines of its answer, without their newlines."""

Guard = Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]
"""Runs the talk with one client, by name, so that its failure stays its own (`Supervisor.once`)."""

MAX_CLIENTS: Final = 16
MAX_REQUEST_BYTES: Final = 4096
REQUEST_SECONDS: Final = 5.0
STALLED_SECONDS: Final = 60.0
WRITE_BUFFER_BYTES: Final = 64 << 10
RETRY_SECONDS: Final = 10.0
CLIENT: Final = "status client"
_MODE_MASK: Final = 0o117  # what 0660 takes away

log = logging.getLogger(__name__)


class Unusable(Exception):
    """The socket cannot be made at its place. The text says why and what to do."""


def refusal(error: str, remedy: str = "", *, is_usage: bool = False) -> bytes:
    """The one line that says no; `is_usage`: what was asked for cannot be, now or later."""
    return json.dumps({"error": error, "remedy": remedy, "is_usage": is_usage}).encode()


async def answer(path: Path, verbs: Mapping[str, Verb], *, guard: Guard) -> Never:
    """Serve `verbs` at `path` until cancelled; while the place cannot be used, say so once and try again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await guard(CLIENT, partial(_talk, reader, writer, verbs))

    told = ""
    while True:
        try:
            listener = open_socket(path)
        except Unusable as error:
            if str(error) != told:
                log.error("status socket unavailable, everything else runs: %s", error)  # noqa: TRY400  a trace says no more
                told = str(error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await _serve(listener, path, talk=talk)


def open_socket(path: Path) -> socket.socket:
    """Bind and listen at `path` with mode 0660, in the place of a socket nobody listens at.

    Raises:
        Unusable: somebody answers there, something else lies there, or the system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
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
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unusable(f"{path}: {reason}; set another `socket:` in the YAML, or mend this place") from error
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    """Take away a socket at which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Unusable(
                f"{path} is no socket and stays as it is; move it away, or set another `socket:` in the YAML"
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        refused = probe.connect_ex(str(path))
    if refused != errno.ECONNREFUSED:
        raise Unusable(f"another agent answers at {path}; stop it, or set another `socket:` in the YAML")
    path.unlink()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _serve(listener: socket.socket, path: Path, *, talk: Talk) -> None:
    inode = _inode(path)
    clients: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.TaskGroup() as group:

            def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if not server.is_serving():
                    writer.close()
                    return
                if len(clients) >= MAX_CLIENTS:
                    writer.write(refusal(f"{MAX_CLIENTS} clients are connected already", "end one of them") + b"\n")
                    writer.close()
                    return
                task = group.create_task(_hold(writer, talk(reader, writer)), name=CLIENT)
                clients.add(task)
                task.add_done_callback(clients.discard)

            server = await asyncio.start_unix_server(welcome, sock=listener, limit=MAX_REQUEST_BYTES)
            async with server:
                await server.serve_forever()
    finally:
        _leave(path, inode)


def _inode(path: Path) -> int:
    return path.stat().st_ino


def _leave(path: Path, inode: int) -> None:
    """Take our socket away, but not one that somebody put in its place."""
    try:
        if _inode(path) == inode:
            path.unlink()
    except OSError as error:
        log.info("status socket not removed: %s", error)


async def _hold(writer: asyncio.StreamWriter, talking: Awaitable[None]) -> None:
    """Let a client go when it was answered and has read the answer: until then it counts as connected."""
    try:
        await talking
        writer.close()
        async with asyncio.timeout(STALLED_SECONDS):
            await writer.wait_closed()
    except (TimeoutError, OSError):
        return
    finally:
        writer.transport.abort()  # nothing is left to be sent, unless it was not taken


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verbs: Mapping[str, Verb]) -> None:
    writer.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
    lines = await _request(reader, verbs)
    try:
        async for line in lines:
            writer.write(line + b"\n")
            if not await _drained(writer):
                return
    finally:
        await lines.aclose()


async def _drained(writer: asyncio.StreamWriter) -> bool:
    """Wait until the client has read most of what we wrote; False if it went away or reads nothing."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await writer.drain()
    except (TimeoutError, OSError):
        writer.transport.abort()
        return False
    return True


async def _request(reader: asyncio.StreamReader, verbs: Mapping[str, Verb]) -> AsyncGenerator[bytes, None]:
    """Read the one line and find its verb, or the words that refuse it."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            line = await reader.readline()
    except TimeoutError:
        return _refuse(f"no request within {REQUEST_SECONDS:.0f} s")
    except OSError:
        return _refuse("the connection failed")
    except ValueError:
        return _refuse(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    return _choose(line, verbs)


def _choose(line: bytes, verbs: Mapping[str, Verb]) -> AsyncGenerator[bytes, None]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return _refuse("the request is no JSON object")
    verb = verbs.get(str(request.get("verb")))
    if verb is None:
        return _refuse(f"unknown verb; this agent knows {', '.join(sorted(verbs))}")
    return verb(request)


async def _refuse(error: str) -> AsyncGenerator[bytes, None]:
    yield refusal(error)
