"""Syslog lines as a province's devices say them, seeded: the mix `servers` here, `firewalls` in firewalls.py.

`servers`: 150 to 250 bytes, RFC 3164 and 5424 half and half.

In goes a seed and a count, out come lines without a line end. The mix is fixed, so that a number measured
today can be compared with one of last year; `describe()` says it in words and every run prints it.

Each line carries its own time: RFC 3164 to the second, RFC 5424 to the microsecond as rsyslog and systemd write it,
so a memo of time stamps helps with the one and must bear the other.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from firewalls import DENY_SHARE, FIREWALLS, INSIDE, OUTSIDE, SAY, session

SEED = 20260101
HOSTS, APPS, ADDRESSES, USERS = 400, 24, 5_000, 300
ERR_SHARE = 0.02
MIN_BYTES, MAX_BYTES = 150, 250
_INFO, _ERR = 6, 3
LINES_PER_SECOND = 5_000  # how fast the lines' own clock runs
MOST_IN_A_ROW = 5  # a device says 1 to 5 lines in a row, the average is 3

_USERS = ("nguyen.van.an", "tran.thi.binh", "le.hoang", "pham.quang", "svc-backup", "root", "admin", "camera")
_PATHS = ("/api/v1/devices", "/thong-bao/2024", "/login", "/static/app.js", "/camera/12/snapshot.jpg", "/ho-so/nop")
_AGENTS = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "curl/7.88.1", "Go-http-client/1.1", "okhttp/4.9.3")
_UNITS = ("Daily apt download activities", "Rotate log files", "Session 1204 of User admin", "Đồng bộ hồ sơ")
_TAILS = (
    b"site=phu-loc-07 cabinet=north",
    b"interface=GigabitEthernet0/1 vrf=mgmt",
    b"policy=default-inspect result=ok",
    b"(pam_unix, tty=ssh ruser= rhost=)",
    b"uptime=93d firmware=7.2.8-M",
    "khu-vuc=Phường Vỹ Dạ".encode(),
)

Draw = random.Random


class Talk(NamedTuple):
    """One device speaking of one thing: it says a few lines in a row, as devices do."""

    host: str
    app: str
    pid: int
    pri: int
    user: str
    peer: str
    target: str
    port: int


Message = Callable[[Talk, Draw], str]


def _some(count: int, draw: Draw) -> int:
    """Choose one of `count`, a few of them often: a tenth gets 46 % of the lines (cube of a uniform draw)."""
    return int(draw.random() ** 3 * count)


def _address(draw: Draw) -> str:
    n = _some(ADDRESSES, draw)
    return f"10.{20 + n // 2500}.{n // 250 % 10}.{n % 250 + 1}"


def _user(draw: Draw) -> str:
    n = _some(USERS, draw)
    return f"{_USERS[n % len(_USERS)]}{n // len(_USERS)}"


def _sshd(talk: Talk, draw: Draw) -> str:
    how = draw.choice(("Accepted publickey", "Failed password", "Accepted password", "Disconnected from"))
    return f"{how} for {talk.user} from {talk.peer} port {talk.port} ssh2"


def _firewall(talk: Talk, draw: Draw) -> str:
    return (
        f"[UFW BLOCK] IN=eth0 OUT= SRC={talk.peer} DST={talk.target} LEN={draw.choice((40, 44, 52, 60, 1420))} TOS=0x00 "
        f"TTL={draw.choice((55, 63, 117, 244))} ID={draw.randrange(65536)} PROTO=TCP SPT={talk.port} DPT=22 SYN"
    )


def _nginx(talk: Talk, draw: Draw) -> str:
    return (
        f'{talk.peer} - - "GET {draw.choice(_PATHS)}?id={draw.randrange(100_000)} HTTP/1.1" '
        f'{draw.choice((200, 200, 200, 304, 404, 502))} {draw.randrange(60_000)} "-" "{_AGENTS[talk.port % len(_AGENTS)]}"'
    )


def _fortigate(talk: Talk, draw: Draw) -> str:
    return (
        f'logid="0000000013" type="traffic" subtype="forward" srcip={talk.peer} srcport={draw.randrange(1024, 65536)} '
        f'dstip={talk.target} action="{draw.choice(("accept", "close", "deny"))}" policyid={draw.randrange(90)}'
    )


def _asa(talk: Talk, draw: Draw) -> str:
    return (
        f"%ASA-6-302013: Built inbound TCP connection {draw.randrange(9_999_999)} for outside:{talk.peer}/"
        f"{draw.randrange(1024, 65536)} to inside:{talk.target}/443"
    )


def _systemd(_: Talk, draw: Draw) -> str:
    return f"Started {draw.choice(_UNITS)}, unit run-{draw.randrange(100_000)}.service, by uid {draw.randrange(2000)}."


def _postfix(talk: Talk, draw: Draw) -> str:
    return (
        f"{draw.randrange(1 << 40):010X}: to=<{talk.user}@example.gov.vn>, relay=mx{draw.randrange(4)}.example.gov.vn"
        f"[10.20.0.{draw.randrange(4)}]:25, delay={draw.random() * 9:.2f}, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
    )


def _modbus(talk: Talk, draw: Draw) -> str:
    return (
        f"poll station={draw.randrange(120)} register={draw.randrange(40_000, 40_400)} value={draw.random() * 400:.3f} "
        f"quality=good cycle_ms={draw.randrange(5, 900)} gateway={talk.peer}"
    )


_SAY: dict[str, Message] = {
    "sshd": _sshd,
    "kernel": _firewall,
    "nginx": _nginx,
    "fortigate": _fortigate,
    "asa": _asa,
    "systemd": _systemd,
    "postfix": _postfix,
    "modbusd": _modbus,
}


def _talk(draw: Draw) -> Talk:
    name = draw.choice(tuple(_SAY))
    app = name if draw.random() < 0.5 else f"{name}-{draw.randrange(APPS // len(_SAY) - 1)}"
    host = f"xa-{_some(HOSTS, draw):03d}"
    forks = name in {"sshd", "postfix"}  # a process of its own per session; other daemons keep their pid for weeks
    return Talk(
        host,
        app,
        draw.randrange(200, 32768) if forks else 300 + sum(map(ord, app + host)) * 7,
        8 * draw.choice((3, 4, 10, 16, 20, 23)),
        _user(draw),
        _address(draw),
        _address(draw),
        draw.randrange(1024, 65536),
    )


def _fill(line: str, draw: Draw) -> bytes:
    """Bring a line into 150 to 250 bytes without cutting a character in two."""
    data = line.encode()
    while len(data) < MIN_BYTES:
        data += b" " + draw.choice(_TAILS)
    return data[:MAX_BYTES].decode("utf-8", "ignore").encode()


def _rfc3164(message: str, *, pri: int, talk: Talk, at: float) -> str:
    moment = time.gmtime(at)
    stamp = f"{time.strftime('%b', moment)} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)}"
    return f"<{pri}>{stamp} {talk.host} {talk.app}[{talk.pid}]: {message}"


def _rfc5424(message: str, *, pri: int, talk: Talk, at: float) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}Z"
    number = int(at * LINES_PER_SECOND) % (1 << 20)
    data = f'[meta sequenceId="{number}"]' if talk.port % 10 < 3 else "-"
    return f"<{pri}>1 {stamp} {talk.host}.edge.example.gov.vn {talk.app} {talk.pid} - {data} {message}"


def lines(count: int, *, mix: str = "servers", seed: int = SEED, start: float | None = None) -> Iterator[bytes]:
    """Yield `count` lines of a mix; equal seeds and starts give equal ones."""
    yield from MIXES[mix](count, random.Random(seed), time.time() if start is None else start)


def _servers(count: int, draw: Draw, start: float) -> Iterator[bytes]:
    left, talk, render = 0, _talk(draw), _rfc3164
    for n in range(count):
        if left == 0:
            left, talk, render = draw.randrange(1, MOST_IN_A_ROW + 1), _talk(draw), draw.choice((_rfc3164, _rfc5424))
        left -= 1
        pri = talk.pri + (_ERR if draw.random() < ERR_SHARE else _INFO)
        message = _SAY[talk.app.partition("-")[0]](talk, draw)
        yield _fill(render(message, pri=pri, talk=talk, at=start + n / LINES_PER_SECOND), draw)


def _firewalls(count: int, draw: Draw, start: float) -> Iterator[bytes]:
    """FortiGate, ASA, CEF and PAN-OS, a few lines of one in a row."""
    left, say, firewall = 0, SAY[0], ""
    for n in range(count):
        one = session(draw)
        if left == 0:
            left, say, firewall = draw.randrange(1, MOST_IN_A_ROW + 1), draw.choice(SAY), one.firewall
        left -= 1
        yield say(one._replace(firewall=firewall), start + n / LINES_PER_SECOND, draw).encode()


MIXES = {"servers": _servers, "firewalls": _firewalls}


def describe() -> dict[str, str]:
    """Say each mix in one line, for the head of every report."""
    return {
        "servers": (
            f"seed {SEED}; RFC 3164 and RFC 5424 half and half, {MIN_BYTES}-{MAX_BYTES} bytes; severity "
            f"{ERR_SHARE:.0%} err, rest info; {HOSTS} hosts, {APPS} apps, {ADDRESSES} addresses, {USERS} users, a tenth "
            f"of them in 46 % of the lines; 1 to {MOST_IN_A_ROW} lines of one device in a row"
        ),
        "firewalls": (
            f"seed {SEED}; FortiGate, ASA, CEF and PAN-OS, a quarter each, "
            f"125-710 bytes, 440 on average; {FIREWALLS} firewalls, {INSIDE} inner and {OUTSIDE} outer addresses, {DENY_SHARE:.0%} "
            f"denied; 1 to {MOST_IN_A_ROW} lines of one device in a row"
        ),
    }
