"""Ports, sockets as the kernel sees them (`ss`), and waiting with a deadline."""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_ESTABLISHED = "01"  # include/net/tcp_states.h


def free_port() -> int:
    """Give a port of 127.0.0.1 that neither TCP nor UDP uses now."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def socket_facts(transport: str, port: int) -> dict[str, int] | None:
    """What ss(8) says of the socket that listens at a port: granted receive buffer and drops; None: nobody listens."""
    command = ["ss", "-H", "-l", "-n", "-m", {"tcp": "-t", "udp": "-u"}[transport], f"sport = :{port}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    memory = re.search(r"rb(\d+).*,d(\d+)", said)
    return None if memory is None else {"receive_buffer": int(memory[1]), "drops": int(memory[2])}


def wait_for(done: Callable[[], object], *, seconds: float, what: str, every: float = 0.02) -> float:
    """Wait until `done()` is true; give how long it took.

    Raises:
        TimeoutError: it did not become true.
    """
    started = time.perf_counter()
    while not done():
        if time.perf_counter() - started > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
    return time.perf_counter() - started


def listens(port: int) -> bool:
    """Whether somebody has the port of 127.0.0.1 on both TCP and UDP."""
    needle = f":{port:04X} "
    return all(needle in Path(f"/proc/net/{kind}").read_text(encoding="ascii") for kind in ("tcp", "udp"))


def unread_bytes(port: int) -> int:
    """Bytes on their way through the kernel to whoever listens at a TCP port: sent, and not read yet."""
    total, needle = 0, f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if state == _ESTABLISHED and needle in {local[8:], remote[8:]}:
            total += sum(int(part, 16) for part in queues.split(":"))
    return total


def held_bytes(folder: Path) -> int:
    """Bytes that the files of a folder take on the disk."""
    total = 0
    for place in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += place.stat().st_blocks * 512 if place.is_file() else 0
    return total


def answers(port: int) -> bool:
    """Whether a TCP port of 127.0.0.1 takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
