"""Firewalls and what stands beside them: most of them name host and time inside the message, as keys or columns.

    date=2024-03-05 time=14:03:07 devname="fw1" devid="FG..." eventtime=1709622187000000000 tz="+0700" ...   FortiGate
    1,2024/03/05 14:03:07,007951000012345,TRAFFIC,end,...                  PAN-OS: behind a usual header
    time=1709622187|hostname=fw1|product=VPN-1 & FireWall-1|...            Check Point Log Exporter, format splunk
    id=firewall sn=0017C5000000 time="2024-03-05 14:03:07" fw=1.2.3.4 ...  SonicWall
    device="SFW" date=2024-03-05 time=14:03:07 timezone="ICT" ...          Sophos Firewall
    03/05/2024:14:03:07 GMT ns1 0-PPE-0 : default SSLVPN LOGIN 12 0 : ...  NetScaler
    Mar  5 14:03:07 slot1/big1 notice mcpd[6760]: 01070417:5: ...          F5

Sources: the vendors' log references. The message is kept as it is; what is read from it is repeated in the columns.
"""

import re
from datetime import UTC
from typing import Final

from collectors.syslog.families.family import OWN_DATA, Family
from collectors.syslog.families.pairs import FORTIGATE_KEYS, clock_of, read_pairs
from collectors.syslog.header import Header, add_data
from collectors.syslog.rfc3164 import read_tag
from collectors.syslog.stamps import read_stamp, read_zone
from collectors.syslog.times import HOUR, SECOND, Times

FAR: Final = 26 * HOUR
"""How far an instant can be from its own wall clock read as UTC: the widest zone, and summer time."""

_LEVELS: Final = "emerg|alert|crit|err|error|warning|warn|notice|info|debug"
_NETSCALER: Final = re.compile(
    r"(?:(?P<a>\d\d)/(?P<b>\d\d)/(?P<year>\d{4}):|(?P<year_first>\d{4})/(?P<month>\d\d)/(?P<day>\d\d):)?"
    r"(?P<clock>\d\d:\d\d:\d\d)(?:\.\d{1,9})? (?:(?P<zone>[A-Z]{1,5}) )? ?(?:(?P<host>[\w.:-]{1,255}) )?"
    r" ?(?P<engine>(?:\d{1,4}-)?PPE-\d{1,4}) : ",
    re.ASCII,
)
_EVENT: Final = re.compile(
    r"(?:[a-z][\w-]{0,63} )?(?P<module>[A-Z][A-Z0-9_]{0,63}) (?P<event>[A-Za-z]\w{0,63})(?: |:|\Z)", re.ASCII
)
_F5: Final = re.compile(rf"(?P<level>{_LEVELS}) ")
_SOPHOS_MODEL: Final = re.compile(r"(?:SFW?|SFV[HU]?\w{0,8}|(?:XGS?|SG|SF|CR)\d{1,4}\w{0,8})\b", re.ASCII)
_PANOS_TIME: Final = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")
_SIC_NAME: Final = re.compile(r"\|origin_?sic_?name=(?:CN|cn)\\{0,2}=(?P<host>[\w.-]{1,255})\\{0,2},")


def scale_eventtime(digits: str) -> int | None:
    """Give FortiOS's `eventtime` in ns: seconds before 6.2, nanoseconds since; None if it is neither."""
    return int(digits) * 10 ** (19 - len(digits)) if len(digits) in {10, 13, 16, 19} and digits.isdecimal() else None


def _read_fortigate(header: Header, times: Times) -> Header:
    pairs = read_pairs(header.message, names=("date", "time", *FORTIGATE_KEYS.split("|")))
    date, clock, fraction = clock_of(pairs.get("date", ""), pairs.get("time", ""))
    local = times.local(date, clock=clock, zone=read_zone(pairs.get("tz")))
    wall = times.local(date, clock=clock, zone=UTC)
    event = scale_eventtime(pairs.get("eventtime", ""))
    if event is not None and wall is not None and abs(event - wall) <= FAR:
        time: int | None = event
    else:
        time = None if local is None else local + fraction
    return _with_inner(header, time=time, host=pairs.get("devname"))


def _with_inner(header: Header, *, time: int | None, host: str | None) -> Header:
    """Put what the message says over what the header said; the header's host, if another, is a relay's."""
    if host and header.hostname and host != header.hostname:
        header = add_data(header, OWN_DATA, relay=header.hostname)
    flags = header.flags if time is not None else (*header.flags, "bad-time")
    return header._replace(time=header.time if time is None else time, hostname=host or header.hostname, flags=flags)


def _read_panos(header: Header, times: Times) -> Header:
    if header.time is not None or not _PANOS_TIME.match(header.message, 2):
        return header
    stamp = read_stamp(header.message.partition(",")[2].partition(",")[0], 0, times)
    return header if stamp is None else header._replace(time=stamp.time, flags=(*header.flags, *stamp.flags))


def _read_checkpoint(header: Header, _: Times) -> Header:
    """Take the gateway that the event is of (its SIC name), or, where that is the management itself, hostname=."""
    pairs = read_pairs(header.message, names=("time", "hostname"), between="|")
    sic = _SIC_NAME.search(header.message)
    host = sic["host"] if sic and not sic["host"].startswith("cp_mgmt") else pairs.get("hostname")
    seconds, *rest = pairs.get("time", "").split(".")
    fraction = rest[0] if rest else ""
    if not (seconds.isdecimal() and len(seconds) == 10):
        return header._replace(hostname=host or header.hostname)
    time = int(seconds) * SECOND + (int(fraction[:9].ljust(9, "0")) if fraction.isdecimal() else 0)
    return _with_inner(header, time=time, host=host)


def _read_sophos(header: Header, times: Times) -> Header:
    names = (
        "device",
        "device_name",
        "date",
        "time",
        "timezone",
        "timestamp",
        "device_id",
        "device_model",
        "device_serial_id",
    )
    pairs = read_pairs(header.message, names=names)
    stamp = read_stamp(pairs["timestamp"], 0, times) if "timestamp" in pairs else None
    if stamp is not None:
        time = stamp.time
    else:
        date, clock, fraction = clock_of(pairs.get("date", ""), pairs.get("time", ""))
        local = times.local(date, clock=clock, zone=read_zone(pairs.get("timezone")))
        time = None if local is None else local + fraction
    name = pairs.get("device_name")
    host = name if name and not _SOPHOS_MODEL.match(name) else pairs.get("device_serial_id") or pairs.get("device_id")
    return _with_inner(header, time=time, host=header.hostname or host)


def _read_sonicwall(header: Header, times: Times) -> Header:
    pairs = read_pairs(header.message, names=("id", "sn", "time", "fw"))
    stamp = read_stamp(pairs.get("time", "").replace(" UTC", "Z"), 0, times)
    return _with_inner(header, time=stamp and stamp.time, host=pairs.get("fw"))


def _read_netscaler(header: Header, times: Times) -> Header:
    match = _NETSCALER.match(header.message)
    if match is None:
        return header
    time = _netscaler_time(match, times)
    header = header._replace(proc_id=match["engine"], message=header.message[match.end() :])
    event = _EVENT.match(header.message)
    if event:
        header = header._replace(app_name=event["module"], msg_id=event["event"])
    if time is None and match["year"] is None and match["year_first"] is None:
        return header._replace(hostname=match["host"] or header.hostname)
    return _with_inner(header, time=time, host=match["host"])


def _netscaler_time(match: re.Match[str], times: Times) -> int | None:
    """Read a date whose order is a setting: of month first and day first, the one nearer to the receipt."""
    _, clock, _ = clock_of("", match["clock"])
    zone = read_zone(match["zone"])
    if match["year_first"]:
        dates = [(int(match["year_first"]), int(match["month"]), int(match["day"]))]
    elif match["year"]:
        year, one, other = int(match["year"]), int(match["a"]), int(match["b"])
        dates = [(year, one, other), (year, other, one)]
    else:
        dates = []
    found = (times.local(date, clock=clock, zone=zone) for date in dates)
    return min((ns for ns in found if ns is not None), key=lambda ns: abs(ns - times.hour_ns), default=None)


def _read_f5(header: Header, _: Times) -> Header:
    level = _F5.match(header.message)
    if level:
        app, pid, message = read_tag(header.message, level.end())
        header = header._replace(app_name=app, proc_id=pid, message=message)
        header = add_data(header, OWN_DATA, level=level["level"])
    return header


FAMILIES: Final = (
    Family(
        "fortigate",
        "FortiGate and other Fortinet devices",
        "the message begins with date= and time=, or the SD-ID is Fortinet's",
        "host from devname=; time from eventtime=, else from date=, time= and tz=",
        numbers=(12356,),
        message=r"date=\d{4}-\d\d-\d\d[ ,]time=\d\d:\d\d:\d\d",
        read=_read_fortigate,
    ),
    Family(
        "panos",
        "Palo Alto Networks PAN-OS",
        "the message is columns: a number, the time of receipt, a serial number, a type in capitals",
        "without a header the time of receipt",
        numbers=(25461,),
        message=r"\d,[\d/:. -]{8,32},[0-9A-Za-z-]{0,32},[A-Z][A-Z-]{2,31},",
        read=_read_panos,
    ),
    Family(
        "checkpoint",
        "Check Point Log Exporter",
        "APP-NAME is CheckPoint, or the message begins with time= and hostname= between bars",
        "time; host from originsicname=, else hostname=",
        apps=("CheckPoint", "checkpoint"),
        numbers=(2620,),
        message=r"time=\d{10}(?:\.\d{1,9})?\|hostname=",
        read=_read_checkpoint,
    ),
    Family(
        "sophos",
        "Sophos Firewall and UTM",
        'the message begins with device="SFW" or device_name= and timestamp=, or the time is 2024:03:05-14:03:07 (UTM)',
        "time; host from device_name=, or the serial number where that is a model",
        message=r'device="SFW" |device_name="[^"\n]{0,255}" timestamp="',
        read=_read_sophos,
    ),
    Family(
        "sonicwall",
        "SonicWall",
        "the message begins with id=, sn= and time=",
        "time; host from fw=",
        message=r'id=[^ \n]{1,64} sn=[0-9A-Fa-f]{12} time="',
        read=_read_sonicwall,
    ),
    Family(
        "netscaler",
        "Citrix NetScaler (ADC)",
        "a packet engine (0-PPE-0 :) follows the time",
        "time, host; module is the app, event the MSGID, engine the PROCID; of two ways to read the date the nearer one",
        apps=("TCP", "SSLLOG", "SSLVPN", "APPFW", "AAA", "AAATM", "UI", "GUI", "EVENT", "SNMP", "ACL"),
        tagged=r"(?:[a-z][\w-]{0,63} )?[A-Z][A-Z_]{1,63} \d{1,12} \d{1,4} :",
        message=r"[\d/]{0,10}:?\d\d:\d\d:\d\d(?:\.\d{1,9})? [ \w.:-]{0,255}PPE-\d{1,4} : ",
        read=_read_netscaler,
    ),
    Family(
        "f5",
        "F5 BIG-IP",
        "a level (notice, err, ...) stands between host and tag, or the tag is one of BIG-IP's daemons",
        "app, PROCID; slot1/ is taken off the host",
        apps=("mcpd", "apmd", "bigd", "big3d", "gtmd", "sod", "tmsh", "iControlPortal.cgi"),
        app=r"tmm\d{0,3}",
        message=rf"(?:{_LEVELS}) [\w./()-]{{1,128}}(?:\[\d{{1,10}}\])?: |ASM:",
        read=_read_f5,
    ),
    Family(
        "barracuda",
        "Barracuda CloudGen, Web Application Firewall, Email and Web Gateway",
        "the tag is box_ or srv_ and a name, inbound/pass, outbound/smtp or http_scan; or the message begins with a log"
        " type and a level (WF ALER)",
        apps=("http_scan", "outbound/smtp"),
        app=r"(?:[\w.-]{1,64}/)?(?:box|srv)_[\w./-]{1,64}|inbound/pass\d{0,3}",
        message=r"(?:WF|NF|SYS|AUDIT|TR) (?:EMER|ALER|CRIT|ERRO?|WARN|NOTI|INFO|DEBU)[A-Z]{0,8} ",
    ),
    Family(
        "pfsense",
        "pfSense, OPNsense",
        "the tag is filterlog or check_reload_status, or php-fpm before a page of the web interface",
        apps=("filterlog", "check_reload_status"),
    ),
    Family("pfsense", "", "", apps=("php-fpm", "php"), tagged=r"/[\w/.-]{1,64}\.php: "),
)
