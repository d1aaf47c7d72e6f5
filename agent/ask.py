r"""The client's side of the status socket: one request goes in, lines of JSON come out.

    {"verb": "tail", "stream": "syslog"}\n  ──►  agent
    {...}\n{...}\n                         ◄──  until the agent or we close

Plain sockets and no event loop: `edgepost status` must answer before one has looked away. The verbs are described in
`docs/status.md`, section "The socket"; the other side is `agent/answer.py`.
"""

import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

PATIENCE_SECONDS: Final = 10.0  # an agent under full load answers in well under one
_DEFAULT: Final = "/run/edgepost/status.sock"
_LOOK: Final = "systemctl status edgepost"
_REMEDIES: Final = {
    errno.ENOENT: f"no agent runs here, or its socket is elsewhere: --socket PATH\n{_LOOK}",
    errno.ECONNREFUSED: f"the agent that made this socket is gone\n{_LOOK}",
    errno.EACCES: "your user may not open it: become root, or join the group that owns it\nls -l /run/edgepost",
}


class NoAgent(Exception):
    """No agent answered. Its text says why, `remedy` what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Refused(Exception):
    """An agent answered, and refuses. Its text says why, `remedy` what to do; `is_usage`: it will always refuse that."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer["error"]))
        self.remedy = str(answer.get("remedy", ""))
        self.is_usage = bool(answer.get("is_usage"))


def socket_path(given: str | None) -> str:
    """Find the socket: --socket, EDGEPOST_SOCKET, $RUNTIME_DIRECTORY/status.sock, the packaged place."""
    if given or os.environ.get("EDGEPOST_SOCKET"):
        return given or os.environ["EDGEPOST_SOCKET"]
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return os.path.join(runtime, "status.sock") if runtime else _DEFAULT  # noqa: PTH118  pathlib costs 5 ms of start-up


@contextmanager
def ask(
    path: str, request: Mapping[str, Any], *, patience: float | None = PATIENCE_SECONDS
) -> Iterator[Iterator[bytes]]:
    """Send one request and give the lines of the answer as they come, blank ones left out.

    Args:
        path: of the status socket.
        request: `verb` and its arguments.
        patience: seconds of silence after which the agent counts as absent; None waits for ever.

    Raises:
        NoAgent: nobody listens, we may not connect, or nothing came in time.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        try:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise _no_agent(path, error) from error
        connection.settimeout(patience)
        yield _lines(connection, path)


def ask_once(path: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request and give its only answer.

    Raises:
        NoAgent: as in `ask`, or the agent refused the request.
    """
    with ask(path, request) as lines:
        line = next(lines, None)
    if line is None:
        raise NoAgent(f"the agent at {path} closed the connection without an answer", "journalctl -u edgepost -n 50")
    answer = json.loads(line)
    if "error" in answer:
        raise NoAgent(str(answer["error"]), str(answer.get("remedy", "")))
    return dict(answer)


def _lines(connection: socket.socket, path: str) -> Iterator[bytes]:
    rest = b""
    while True:
        try:
            data = connection.recv(65536)
        except OSError as error:
            raise _no_agent(path, error) from error
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from filter(None, whole)


def _no_agent(path: str, error: OSError) -> NoAgent:
    if isinstance(error, TimeoutError):
        return NoAgent(f"the agent at {path} does not answer", f"{_LOOK}\njournalctl -u edgepost -n 50")
    reason = error.strerror or str(error)
    return NoAgent(f"no agent answers at {path}: {reason}", _REMEDIES.get(error.errno or 0, _LOOK))
