"""What systemd and the journal want to hear (sd_notify(3), sd-daemon(3)); nothing at all when nobody listens."""

import logging
import os
import resource
import socket
import sys
from typing import Final

_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def notify(**states: str) -> None:
    """Send states such as `READY="1"` and `STATUS="..."` to the service manager, if there is one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    message = "\n".join(f"{key}={value}" for key, value in states.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(message.encode(), f"\0{path[1:]}" if path.startswith("@") else path)
        except OSError:
            return  # the manager is gone; there is nobody to tell


def raise_file_limit() -> None:
    """Take all the file descriptors that the system grants: systemd gives 1,024, and up to 524,288 to who asks.

    The low limit protects programs that call select(2), which we do not (systemd.exec(5), LimitNOFILE).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Priority(logging.Formatter):
    """Puts the journal's priority before a line."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((value for level, value in _PRIORITIES if record.levelno >= level), 7)
        return f"<{priority}>" + super().format(record).replace("\n", f"\n<{priority}>")


def set_up_logging(level: int = logging.INFO) -> None:
    """Log to stderr: with priorities under systemd (JOURNAL_STREAM), with times elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_Priority("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
