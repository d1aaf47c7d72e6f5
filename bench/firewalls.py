"""The firewall mix: FortiGate, ASA, CEF and PAN-OS, a quarter each, in the layouts that the vendors document.

In goes a draw and a clock, out come whole lines of 125 to 710 bytes, 440 on average; most are allowed or closed sessions, as a firewall
at the edge of a network logs them. Written here from the field lists of:
- FortiOS Log Message Reference: traffic (0000000013), utm/ips, utm/webfilter, event/system; `key=value`, values quoted;
- Cisco Secure Firewall ASA Series Syslog Messages: 106023, 302013 to 302016, 305011, 106100, with the three time
  stamps of `logging timestamp` (none, date, rfc5424) and `logging device-id hostname`;
- Micro Focus ArcSight Common Event Format, revision 25: header of seven fields, extension of `key=value`;
- PAN-OS Syslog Field Descriptions: TRAFFIC and THREAT, comma separated.
"""

import random
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

FIREWALLS, INSIDE, OUTSIDE = 24, 2_000, 5_000
DENY_SHARE = 0.1
_SERVICES = ((443, "HTTPS", "ssl"), (80, "HTTP", "web-browsing"), (53, "DNS", "dns"), (22, "SSH", "ssh"))
_COUNTRIES = ("Viet Nam", "United States", "Singapore", "Japan", "Reserved", "Germany")
_ZONES = ("trust", "dmz", "camera", "guest")
_SITES = ("/thong-bao/2024", "/login", "/api/v1/devices", "/static/app.js", "/ho-so/nop")

Draw = random.Random


class Session(NamedTuple):
    """One connection that a firewall speaks of."""

    firewall: str
    number: int
    source: str
    source_port: int
    target: str
    target_port: int
    service: str
    app: str
    is_denied: bool
    sent: int
    received: int
    seconds: int


Say = Callable[[Session, float, Draw], str]


def session(draw: Draw) -> Session:
    """Draw a session; a tenth of the addresses have about half of the lines."""
    inside, outside = int(draw.random() ** 3 * INSIDE), int(draw.random() ** 3 * OUTSIDE)
    port, service, app = draw.choice(_SERVICES)
    return Session(
        f"fw-xa-{int(draw.random() ** 3 * FIREWALLS):02d}",
        draw.randrange(1 << 28),
        f"10.{20 + inside // 500}.{inside // 250 % 2}.{inside % 250 + 1}",
        draw.randrange(1024, 65536),
        f"198.{18 + outside // 2500}.{outside // 250 % 10}.{outside % 250 + 1}",
        port,
        service,
        app,
        draw.random() < DENY_SHARE,
        draw.randrange(60, 60_000),
        draw.randrange(60, 900_000),
        draw.randrange(1, 600),
    )


# ---- FortiGate ----


def _forti_head(one: Session, at: float, *, logid: str, kind: str, level: str) -> str:
    moment = time.gmtime(at + 7 * 3600)  # its own clock is local, tz says by how much
    pri = 8 * 23 + (4 if level == "warning" else 5)
    return (
        f"<{pri}>date={time.strftime('%Y-%m-%d', moment)} time={time.strftime('%H:%M:%S', moment)} "
        f'devname="{one.firewall}" devid="FGT60FTK20{_serial(one.firewall):06d}" eventtime={int(at * 1e9)} tz="+0700" '
        f'logid="{logid}" {kind} level="{level}" vd="root"'
    )


def _serial(name: str) -> int:
    """A number that belongs to a name, as a serial number does."""
    return sum(map(ord, name)) * 7919 % 1_000_000


def _forti_traffic(one: Session, at: float, draw: Draw) -> str:
    head = _forti_head(one, at, logid="0000000013", kind='type="traffic" subtype="forward"', level="notice")
    action = "deny" if one.is_denied else draw.choice(("close", "accept", "timeout", "client-rst"))
    policy = uuid.UUID(int=_serial(one.service) << 96 | 0x51EE << 64 | draw.randrange(12))
    return (
        f'{head} srcip={one.source} srcport={one.source_port} srcintf="lan" srcintfrole="lan" dstip={one.target} '
        f'dstport={one.target_port} dstintf="wan1" dstintfrole="wan" srccountry="Reserved" '
        f'dstcountry="{draw.choice(_COUNTRIES)}" sessionid={one.number} proto=6 action="{action}" '
        f'policyid={draw.randrange(12)} policytype="policy" poluuid="{policy}" service="{one.service}" trandisp="snat" '
        f"transip=198.51.100.7 transport={one.source_port} duration={one.seconds} sentbyte={one.sent} "
        f"rcvdbyte={one.received} sentpkt={one.sent // 600 + 1} rcvdpkt={one.received // 1200 + 1} "
        f'appcat="unscanned"'
    )


def _forti_web(one: Session, at: float, draw: Draw) -> str:
    head = _forti_head(
        one, at, logid="0317013312", kind='type="utm" subtype="webfilter" eventtype="ftgd_allow"', level="notice"
    )
    return (
        f"{head} policyid={draw.randrange(12)} sessionid={one.number} srcip={one.source} srcport={one.source_port} "
        f'srcintf="lan" srcintfrole="lan" dstip={one.target} dstport={one.target_port} dstintf="wan1" '
        f'dstintfrole="wan" proto=6 service="{one.service}" hostname="www.example.gov.vn" profile="default" '
        f'action="passthrough" reqtype="direct" url="https://www.example.gov.vn{draw.choice(_SITES)}" '
        f'sentbyte={one.sent} rcvdbyte={one.received} direction="outgoing" msg="URL belongs to an allowed category in '
        f'policy" method="domain" cat=49 catdesc="Government and Legal Organizations"'
    )


def _forti_event(one: Session, at: float, draw: Draw) -> str:
    kind = 'type="event" subtype="system"'
    head = _forti_head(one, at, logid="0100040704", kind=kind, level="warning" if one.is_denied else "notice")
    cpu, memory = draw.randrange(90), draw.randrange(30, 80)
    return (
        f'{head} logdesc="System performance statistics" action="perf-stats" cpu={cpu} mem={memory} '
        f'totalsession={draw.randrange(9_000)} disk=0 bandwidth="{draw.randrange(900)}/{draw.randrange(900)}" '
        f'setuprate={draw.randrange(90)} msg="Performance statistics: average CPU: {cpu}, memory: {memory}"'
    )


def _fortigate(one: Session, at: float, draw: Draw) -> str:
    return draw.choices((_forti_traffic, _forti_web, _forti_event), (85, 12, 3))[0](one, at, draw)


# ---- Cisco ASA ----


def _asa(one: Session, at: float, draw: Draw) -> str:
    severity, text = _asa_text(one, draw)
    moment, style = time.gmtime(at), _serial(one.firewall) % 3  # a device keeps its configuration
    if style == 0:
        stamp = f"{time.strftime('%b %d %Y %H:%M:%S', moment)} {one.firewall} : "
    elif style == 1:
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', moment)} {one.firewall} : "
    else:
        stamp = f"{time.strftime('%b %d %Y %H:%M:%S', moment)}: "
    return f"<{8 * 20 + severity}>{stamp}%ASA-{severity}-{text}"


def _asa_text(one: Session, draw: Draw) -> tuple[int, str]:
    outside, inside = f"outside:{one.target}/{one.target_port}", f"inside:{one.source}/{one.source_port}"
    if one.is_denied:
        return 4, (
            f'106023: Deny tcp src {outside} dst {inside} by access-group "outside_access_in" '
            f"[0x{draw.randrange(1 << 32):x}, 0x0]"
        )
    kind = draw.randrange(4)
    if kind == 0:
        mapped = f"198.51.100.7/{one.source_port}"
        return 6, (
            f"302013: Built outbound TCP connection {one.number} for {outside} ({one.target}/{one.target_port}) "
            f"to {inside} ({mapped})"
        )
    if kind == 1:
        return 6, (
            f"302014: Teardown TCP connection {one.number} for {outside} to {inside} duration "
            f"0:{one.seconds // 60:02d}:{one.seconds % 60:02d} bytes {one.received} TCP FINs"
        )
    if kind == 2:
        return 6, (
            f"302016: Teardown UDP connection {one.number} for {outside} to {inside} duration "
            f"0:{one.seconds // 60:02d}:{one.seconds % 60:02d} bytes {one.sent}"
        )
    return 6, f"305011: Built dynamic TCP translation from {inside} to outside:198.51.100.7/{one.source_port}"


# ---- CEF ----


def _cef(one: Session, at: float, draw: Draw) -> str:
    moment = time.gmtime(at)
    stamp = f"{time.strftime('%b', moment)} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)}"
    name, severity = ("Connection blocked", 6) if one.is_denied else ("Connection accepted", 3)
    return (
        f"<{8 * 16 + (4 if one.is_denied else 6)}>{stamp} {one.firewall} CEF:0|Edge Networks|Gate|7.2.4|"
        f"{100_000 + draw.randrange(40)}|{name}|{severity}|rt={int(at * 1000)} act={'block' if one.is_denied else 'accept'} "
        f"src={one.source} spt={one.source_port} dst={one.target} dpt={one.target_port} proto=TCP app={one.service} "
        f"in={one.received} out={one.sent} cnt=1 deviceDirection=1 deviceInboundInterface=lan "
        f"deviceOutboundInterface=wan1 dvchost={one.firewall} externalId={one.number} cs1Label=Rule "
        f"cs1=rule {draw.randrange(60)} to the outside cs2Label=Zone cs2={draw.choice(_ZONES)} "
        f"request=https://www.example.gov.vn{draw.choice(_SITES)}?id\\={draw.randrange(90_000)} msg=session ended"
    )


# ---- PAN-OS ----


def _pan(one: Session, at: float, draw: Draw) -> str:
    moment = time.gmtime(at)
    date = time.strftime("%Y/%m/%d %H:%M:%S", moment)
    stamp = f"{time.strftime('%b', moment)} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)}"
    zone, action = draw.choice(_ZONES), "deny" if one.is_denied else "allow"
    shared = (
        f"{one.source},{one.target},198.51.100.7,{one.target},rule-{draw.randrange(60)},,,{one.app},vsys1,{zone},untrust,"
        f"ethernet1/2,ethernet1/1,fwd-soc,{date},{one.number},1,{one.source_port},{one.target_port},{one.source_port},"
        f"{one.target_port},0x400053,tcp,{action}"
    )
    head = f"<14>{stamp} {one.firewall} 1,{date},012801{_serial(one.firewall):06d},"
    countries = f"10.0.0.0-10.255.255.255,{draw.choice(_COUNTRIES)}"
    if draw.random() < 0.1:
        return (
            f'{head}THREAT,url,2561,{date},{shared},"www.example.gov.vn{draw.choice(_SITES)}",(9999),government,'
            f"informational,client-to-server,{draw.randrange(1 << 40)},0x0,{countries},,text/html,0,,,1,,,,,,,,0,12,0,0,0,,"
            f"{one.firewall},,,,get,0,,0,,N/A,unknown,AppThreat-0-0,0x0,0,4294967295"
        )
    return (
        f"{head}TRAFFIC,end,2561,{date},{shared},{one.sent + one.received},{one.sent},{one.received},"
        f"{one.received // 900 + 2},{date},{one.seconds},government,,{draw.randrange(1 << 40)},0x0,{countries},,"
        f"{one.sent // 600 + 1},{one.received // 1200 + 1},tcp-fin,12,0,0,0,,{one.firewall},from-policy,,,0,,0,,N/A,0,0,0,0,"
        f"{uuid.UUID(int=draw.randrange(60) << 64)},0,0,,,,,,,"
    )


SAY: tuple[Say, ...] = (_fortigate, _asa, _cef, _pan)
