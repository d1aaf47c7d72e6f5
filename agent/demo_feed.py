"""What the demo feeds itself with: this machine's own log as it grows, and a small replay of device lines.

    journalctl -f -o json ──► RFC 5424 ──┐
    /var/log/* where readable ───────────┼──TCP──► 127.0.0.1:PORT, the demo's syslog
    REPLAY, with fresh times ──UDP, TCP──┘

Run as a child of `agent/demo.py`: `python -m agent.demo_feed PORT`. Nothing is read but logs that this user may read,
and nothing leaves the loopback interface. The replay is made up: names are of the documentation ranges (RFC 5737).
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final

REPLAY_SECONDS: Final = 0.4
HISTORY_LINES: Final = 15  # of the journal, so that a quiet machine shows something too
_LOGS: Final = ("syslog", "messages", "auth.log", "kern.log", "daemon.log")
_LOCAL_USER: Final = "<14>"

REPLAY: Final = (  # {iso}: RFC 3339; {bsd}: as in RFC 3164 section 4.1.2
    "<134>1 {iso} fw-01 filterlog 4212 - - 5,,,1000000103,igb0,match,block,in,4,0x0,,64,0,0,DF,6,tcp,60,203.0.113.9,22",
    "<189>{bsd} sw-access-07 %LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet0/14, changed state to up",
    "<187>{bsd} sw-access-07 %LINK-3-UPDOWN: Interface GigabitEthernet0/14, changed state to down",
    '<165>1 {iso} cam-gate-3 streamer 811 MOTION [event@32473 zone="4" score="87"] motion begins in zone 4',
    "<165>1 {iso} cam-gate-3 streamer 811 STREAM - viewer 192.0.2.40 opens rtsp://cam-gate-3/main (H.264, 1920x1080)",
    "<38>{bsd} web-02 sshd[20154]: Failed password for invalid user admin from 198.51.100.23 port 40112 ssh2",
    "<38>{bsd} web-02 sshd[20160]: Accepted publickey for deploy from 192.0.2.8 port 51020 ssh2: ED25519 SHA256:c2FtcGxl",
    "<86>{bsd} web-02 sudo:   deploy : TTY=pts/0 ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl reload nginx",
    "<30>1 {iso} web-02 nginx 977 - - 192.0.2.61 GET /api/health 200 3ms",
    "<131>1 {iso} web-02 nginx 977 - - upstream timed out (110) while reading response from 192.0.2.90:8080",
    "<30>{bsd} gw-05 dnsmasq-dhcp[612]: DHCPACK(br0) 192.0.2.77 00:00:5e:00:53:1a printer-2",
    "<29>{bsd} gw-05 pppd[1408]: LCP terminated by peer",
    "<27>{bsd} gw-05 pppd[1408]: Modem hangup",
    "<14>{bsd} ups-1 apcupsd[388]: Power failure. Running on UPS batteries.",
    '<11>1 {iso} plc-hall-2 plcd 51 ALARM [io@32473 module="3" channel="7"] input out of range: 22.4 mA',
    "<15>1 {iso} plc-hall-2 plcd 51 CYCLE - cycle 12.1 ms, 0 overruns",
)


def replay(now: float, line: str) -> bytes:
    """Fill a line of `REPLAY` with the time `now` (seconds since the epoch)."""
    moment = time.gmtime(now)
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{int(now % 1 * 1000):03d}Z"
    bsd = time.strftime("%b ", moment) + f"{moment.tm_mday:2d}" + time.strftime(" %H:%M:%S", moment)
    return line.format_map({"iso": iso, "bsd": bsd}).encode()


def from_journal(entry: Mapping[str, Any]) -> bytes | None:
    """Write an entry of `journalctl -o json` as RFC 5424, None if it has no text."""
    message = entry.get("MESSAGE")
    if not isinstance(message, str):
        return None
    seconds, micros = divmod(int(entry.get("__REALTIME_TIMESTAMP", 0)), 1_000_000)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micros:06d}Z"
    pri = 8 * int(entry.get("SYSLOG_FACILITY") or 1) + int(entry.get("PRIORITY") or 6)
    host, app, pid = (_word(entry.get(key)) for key in ("_HOSTNAME", "SYSLOG_IDENTIFIER", "_PID"))
    return f"<{pri}>1 {stamp} {host} {app} {pid} - - {' '.join(message.splitlines())}".encode()


def _word(value: object) -> str:
    """A header field of RFC 5424: printable ASCII without spaces, or the NILVALUE."""
    return "".join(char for char in str(value or "") if "!" <= char <= "~")[:48] or "-"


class Journal:
    """journalctl as a child; its end ends nothing but this source."""

    def __init__(self) -> None:
        command = ["journalctl", "--follow", "--lines", str(HISTORY_LINES), "--output", "json", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.file = self.process.stdout.fileno()
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Give what was written since the last call."""
        *whole, self._rest = (self._rest + os.read(self.file, 1 << 18)).split(b"\n")
        for line in whole:
            try:
                message = from_journal(json.loads(line))
            except (ValueError, TypeError):
                continue
            if message:
                yield message

    def close(self) -> None:
        """End the child."""
        self.process.kill()
        self.process.wait()


class LogFile:
    """One file under /var/log, from its end on; a rotated one is opened anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._file.seek(0, os.SEEK_END)

    def lines(self) -> Iterator[bytes]:
        """Give the lines written since the last call."""
        for line in self._file.readlines(1 << 18):
            if line.strip():
                yield _LOCAL_USER.encode() + line.rstrip(b"\r\n")
        try:
            is_rotated = self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except OSError:
            return
        if is_rotated:
            self._file.close()
            self._file = self._path.open("rb")


def log_files() -> list[LogFile]:
    """Open the logs of this machine that this user may read."""
    paths = [Path("/var/log") / name for name in _LOGS]
    return [LogFile(path) for path in paths if path.is_file() and os.access(path, os.R_OK)]


def feed(port: int) -> None:
    """Feed until killed: the replay at a steady pace, and whatever the logs say meanwhile."""
    journal = Journal() if shutil.which("journalctl") else None
    files = log_files() if journal is None else []
    selector = selectors.DefaultSelector()
    if journal is not None:
        selector.register(journal.file, selectors.EVENT_READ)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.1", port))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as tcp:
        for turn, line in enumerate(cycle(REPLAY)):
            message = replay(time.time(), line)
            if turn % 2:
                udp.send(message)
            else:
                tcp.sendall(message + b"\n")
            until = time.monotonic() + REPLAY_SECONDS
            while (left := until - time.monotonic()) > 0:
                if journal is not None and selector.select(left):
                    tcp.sendall(b"".join(each + b"\n" for each in journal.lines()))
                    if journal.process.poll() is not None:
                        selector.unregister(journal.file)
                        journal = None
                elif journal is None:
                    time.sleep(left)
            tcp.sendall(b"".join(each + b"\n" for file in files for each in file.lines()))


if __name__ == "__main__":
    feed(int(sys.argv[1]))
