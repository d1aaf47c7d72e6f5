"""Cisco: headers that stand where RFC 3164 has its time, and what follows a usual header.

    521: router1: 000031: *Mar 15 2024 10:05:53.044 ICT: %OSPF-5-ADJCHG: text       IOS, IOS-XE
    1224: edge RP/0/RSP0/CPU0:Mar 20 12:34:56.123 UTC: bgp[1058]: %ROUTING-BGP-5-ADJCHANGE : text       IOS-XR
    : 2024 Mar  5 14:03:07 ICT: %ETHPORT-5-IF_UP: text       NX-OS
    :Mar 05 14:03:07 UTC: %ASA-6-302013: text       ASA with EMBLEM
    wlc1: *spamApTask3: May 20 15:09:15.005: %CAPWAP-4-DISC_INTF_ERR: text       AireOS
    1 1563249630.774247467 MX84 flows allow src=...       Meraki

Sources: "System Message Logging" of the IOS, IOS-XR and NX-OS guides (origin-id, sequence-numbers, timestamps, `*` for
a clock never set, `.` for one that lost its server), ASA "Configuring Logging", AireOS and ISE message catalogues,
Meraki "Syslog Server Overview". What the header says beyond the columns is kept as structured data (`header.py`).
"""

import re
from typing import Final

from collectors.syslog.families.family import OWN_DATA, Family
from collectors.syslog.header import Header, add_data
from collectors.syslog.rfc3164 import read_tag
from collectors.syslog.stamps import Stamp, read_stamp
from collectors.syslog.times import SECOND, Times

_WORD: Final = r"[A-Za-z0-9_]"
MNEMONIC: Final = rf"%[A-Za-z]{_WORD}{{0,31}}(?:-{_WORD}{{1,32}}){{0,3}}-[0-7]-{_WORD}{{1,64}}"
_UPTIME: Final = r"\d\d:\d\d:\d\d|(?:\d{1,2}y)?\d{1,3}w\dd|\d{1,3}d\d\dh"
_NAME: Final = r"[A-Za-z0-9][\w.:-]{0,254}"
_HEAD: Final = re.compile(
    r"(?P<colon>: ?)?(?:(?P<sent>\d{1,12}): {1,2})?(?:\[(?P<session>syslog@9 [^\]\n]{0,256})\]: )?"
    rf"(?:(?!(?:{_UPTIME}): |\d{{4}}[-/ ])(?P<origin>{_NAME}): {{1,2}})?(?:(?P<sequence>\d{{1,12}}): {{1,2}})?"
    r"(?:(?:(?P<prefix>[\w.-]{1,255}) )?(?P<node>[A-Z]{1,4}\d{0,2}/[\w/]{1,24}) ?:)?"
    rf"(?:\*(?P<task>[A-Za-z]{_WORD}{{0,63}}): )?(?P<mark>[*.](?=[A-Za-z0-9]))?",
    re.ASCII,
)
_UP: Final = re.compile(rf"(?P<uptime>{_UPTIME})(?=:)", re.ASCII)
_AFTER_TIME: Final = re.compile(
    rf"(?: (?P<zone>[A-Z]{{1,5}})(?=:)| (?P<host>{_NAME})(?<!:)(?= ?:| %))? ?(?P<colon>:)? {{0,4}}"
)
_TAG: Final = re.compile(
    rf"(?:%\$ ?VDC-[\w-]{{1,32}} ?%\$ )?(?P<app>{MNEMONIC}|#{MNEMONIC[1:]})(?: ?: ?| |\Z)", re.ASCII
)
_YEAR_FIRST: Final = re.compile(r"\d{4} ", re.ASCII)
_START: Final = re.compile(r"[:*.%\d\[]")
_SIGN: Final = re.compile(r"%|: \*")
_REACH: Final = 200  # how far into a line a mnemonic can begin

_FACILITIES: Final = {"ASA": "asa", "PIX": "asa", "FWSM": "asa", "FTD": "ftd", "NGIPS": "ftd"}

_MERAKI_KINDS: Final = (
    r"flows|urls|events|security_event|ids-alerts|ip_flow_start|ip_flow_end|(?:vpn_|cellular_|l7_)?firewall"
    r"|airmarshal_events|identity_agent|device_event|bridge_\w{1,32}"
)
_MERAKI: Final = re.compile(r"(\d{10})\.(\d{1,9}) ([\w.-]{1,255}) ([\w-]{1,64})(?: |\Z)", re.ASCII)
_ISE: Final = re.compile(
    r"(?P<app>(?:CISE|CSCOacs)_\w{1,64}) \d{1,10} \d{1,4} \d{1,4} {1,2}"
    r"(?=(?P<stamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6} [+-]\d\d:?\d\d) )?",
    re.ASCII,
)


def read_cisco(text: str, start: int, times: Times) -> Header | None:
    """Read a header of IOS and its kin; None where it is none of theirs."""
    if not _START.match(text, start) and not _SIGN.search(text, start, start + _REACH):
        return None
    head = _HEAD.match(text, start)
    if head is None:
        return None
    stamp = read_stamp(text, head.end(), times)
    uptime = None if stamp else _UP.match(text, head.end())
    at = stamp.end if stamp else uptime.end() if uptime else head.end()
    after = _AFTER_TIME.match(text, at) if stamp or uptime else None
    at = after.end() if after else at
    tag = _TAG.match(text, at)
    marked = head["colon"] or head["sent"] or head["node"] or head["task"] or head["mark"]
    if tag is None and not (stamp and marked and after and after["colon"]):
        return None
    app, pid, message = (tag["app"], None, text[tag.end() :]) if tag else read_tag(text, at)
    host = head["prefix"] or head["origin"] or (after and after["host"])
    header = Header(
        stamp.time if stamp else None, host, app, pid, None, None, message, "rfc3164", stamp.flags if stamp else ()
    )
    header = _add_rest(header, head, zone=after and after["zone"], uptime=uptime and uptime[0])
    return header._replace(family=_family(app, head, text=text, stamp=stamp))


def _add_rest(header: Header, head: re.Match[str], *, zone: str | None, uptime: str | None) -> Header:
    """Keep sequence numbers and the clock's mark under RFC 5424's own names, and the rest under ours."""
    sent, sequence = head["sent"], head["sequence"]
    header = add_data(header, "meta", sequenceId=sequence or sent)
    header = add_data(header, "timeQuality", isSynced="0" if head["mark"] else None)
    return add_data(
        header,
        OWN_DATA,
        sent=sent if sequence else None,
        session=head["session"],
        node=head["node"],
        task=head["task"],
        zone=zone,
        uptime=uptime,
    )


def _family(app: str | None, head: re.Match[str], *, text: str, stamp: Stamp | None) -> str:
    named = name_mnemonic(app or "")
    if named != "ios":
        return named
    if head["node"]:
        return "iosxr"
    if head["task"]:
        return "wlc"
    return "nxos" if stamp and _YEAR_FIRST.match(text, head.end()) else "ios"


def name_mnemonic(app: str) -> str:
    """Give the family by the facility of a mnemonic; most systems share theirs."""
    return _FACILITIES.get(app[1:].partition("-")[0], "ios")


def read_meraki(text: str, start: int, _: Times) -> Header | None:
    """Read `SECONDS.NANOSECONDS HOST KIND ...`; None where it is not that."""
    match = _MERAKI.match(text, start)
    if match is None:
        return None
    time = int(match[1]) * SECOND + int(match[2].ljust(9, "0"))
    return Header(time, match[3], match[4], message=text[match.end() :], family="meraki")


def _read_mnemonic(header: Header, times: Times) -> Header:
    """Take a mnemonic that no colon follows (ACI, some NX-OS) for the tag."""
    read = read_cisco(header.message, 0, times)
    return header if read is None else header._replace(app_name=read.app_name, message=read.message, family=read.family)


def _read_ise(header: Header, times: Times) -> Header:
    """Take the category for the tag and, of a message's first part, the time with its zone and milliseconds."""
    match = _ISE.match(header.message)
    if match is None:
        return header
    stamp = read_stamp(match["stamp"], 0, times) if match["stamp"] else None
    time = stamp.time if stamp and stamp.time is not None else header.time
    return header._replace(time=time, app_name=match["app"], message=header.message[match.end("app") + 1 :])


def _read_relayed_meraki(header: Header, times: Times) -> Header:
    read = read_meraki(header.message, 2 if header.message.startswith("1 ") else 0, times)
    return header if read is None else read._replace(flags=header.flags)


_HEADER: Final = "host, time, sequence number and clock's mark of Cisco's own header, where there is one"

FAMILIES: Final = (
    Family(
        "asa",
        "Cisco ASA, PIX, FWSM",
        "the tag is %ASA-, %PIX- or %FWSM-, a severity and a number",
        _HEADER,
        app=r"%(?:ASA|PIX|FWSM)-.{1,120}",
    ),
    Family(
        "ftd",
        "Cisco Firepower",
        "the tag is %FTD- or %NGIPS-, a severity and a number",
        _HEADER,
        app=r"%(?:FTD|NGIPS)-.{1,120}",
    ),
    Family(
        "ios",
        "Cisco IOS, IOS-XE, and what writes like it",
        "the tag is %FACILITY-SEVERITY-MNEMONIC",
        _HEADER,
        app=MNEMONIC,
        message=MNEMONIC + r"(?: |\Z)",
        read=_read_mnemonic,
    ),
    Family("nxos", "Cisco Nexus", "a Cisco tag, and the year comes first", _HEADER),
    Family("iosxr", "Cisco IOS-XR", "a node such as RP/0/RSP0/CPU0: stands before the time", _HEADER),
    Family("wlc", "Cisco AireOS controllers", "a task such as *spamApTask3: stands before the time", _HEADER),
    Family(
        "ise",
        "Cisco ISE, ACS",
        "the message begins with CISE_ or CSCOacs_, its number and its parts",
        "app from the category; time with zone and milliseconds from the first part",
        message=r"(?:CISE|CSCOacs)_\w{1,64} \d{1,10} \d{1,4} \d{1,4} ",
        read=_read_ise,
    ),
    Family(
        "meraki",
        "Cisco Meraki",
        "seconds since 1970, host and kind of event stand where RFC 5424 has its time",
        "time, host; the kind is the app",
        message=rf"(?:1 )?\d{{10}}\.\d{{1,9}} [\w.-]{{1,255}} (?:{_MERAKI_KINDS}) ",
        read=_read_relayed_meraki,
    ),
)
