"""Ports, sockets as the kernel sees them (`ss`), and waiting with a deadline."""

import re
import socket
import subprocess
import time
from collections.abc import Callable


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
