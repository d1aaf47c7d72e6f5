"""Switches, routers and access points that keep RFC 3164's header and bend what follows it.

    Oct  3 2024 13:19:33 core %%01IFNET/4/IF_STATE(l)[4997]:Interface ...          Huawei
    Mar  5 14:03:07 2024 HPE %%10SHELL/5/SHELL_LOGIN: -DevIP=10.0.0.1; ...         Comware (H3C, HPE)
    Jun 21 14:03:12  re0-vmx01 rpd[2902]: RPD_BGP_NEIGHBOR_STATE_CHANGED: ...      Junos
    system,info,account user admin logged in from 10.0.0.5 via winbox              MikroTik
    Aug  7 22:21:57 AP-3 aabbccddeeff,U7-Pro-8.6.11+18870: hostapd[6885]: ...      UniFi
    Mar  5 14:03:07 2024 mc1 authmgr[1234]: <522008> <3456> <NOTI> |authmgr| ...   ArubaOS
    Mar  5 14:03:07 10.1.1.1 00076 ports: port 12 is now on-line                   ArubaOS-Switch (ProCurve)

Sources: Huawei "Log Reference", Comware "Information center configuration", Junos "System Log Explorer", RouterOS "Log",
ArubaOS "Syslog Messages", AOS-CX "Event Log Message Reference", Opengear "Syslog".
"""

import re
from typing import Final

from collectors.syslog.families.cisco import MNEMONIC
from collectors.syslog.families.family import OWN_DATA, Family
from collectors.syslog.header import Header, add_data
from collectors.syslog.rfc3164 import read_tag
from collectors.syslog.stamps import read_stamp
from collectors.syslog.times import MONTHS, Clock, Times

_HUAWEI_TAG: Final = re.compile(
    r"(?P<app>(?:%%\d\d)?[A-Z][\w-]{0,63}/[0-7]/[\w-]{1,64}(?:\([a-z]\))?)(?:\[(?P<pid>\d{1,12})\])?: ?", re.ASCII
)
_MIKROTIK: Final = re.compile(r"(?P<topics>[a-z0-9-]{2,24}(?:,[a-z0-9!-]{2,24}){1,6}) ")
_TOPICS: Final = (
    "account|acme|async|backup|bfd|bgp|bridge|calc|caps|certificate|container|critical|ddns|debug|dhcp|discovery|disk|dns"
    "|dot1x|dude|e-mail|error|event|evpn|fetch|firewall|gps|gsm|health|hotspot|igmp-proxy|info|interface|iot|ipsec|iscsi"
    "|isdn|isis|kvm|l2tp|ldp|lora|lte|manager|mme|mpls|mqtt|mvrp|natpmp|netinstall|netwatch|ntp|ospf|ovpn|packet|pim|poe-out"
    "|ppp|pppoe|pptp|ptp|queue|radius|radvd|raw|read|rip|route|rpki|rsvp|script|sertcp|smb|snmp|ssh|sstp|state|stp|store"
    "|system|telephony|tftp|timer|tr069|update|ups|vpls|vrrp|warning|watchdog|web-proxy|wifi|wireguard|wireless|write|zerotier"
)
_UNIFI: Final = r"[0-9a-f]{12},[\w.-]{1,64}\+?[\w.]{0,16}|[\w-]{2,32},[0-9a-f]{12},v[\w.+-]{1,32}"
_UNIFI_TAG: Final = re.compile(rf'(?:\("(?:[^"\n]{{1,64}})"\)|(?:{_UNIFI}):?) ')
_ONTAP: Final = re.compile(r"\[(?P<host>[\w.-]{1,255}):(?P<event>[a-z][\w.]{1,128}):", re.ASCII)
_PROCURVE: Final = re.compile(r"(?P<number>\d{5}) (?P<app>[\w.-]{1,32}): {1,4}", re.ASCII)
_CLEARPASS: Final = re.compile(
    r"(?P<stamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<milli>\d{3}) (?P<host>[\w.:-]{1,255}) (?P<app>CPPM_\w{1,64}) ",
    re.ASCII,
)
_OPENGEAR: Final = re.compile(
    r"(?P<host>[\w.-]{1,255}) (?P<port>[\w-]{1,64}) (?P<year>\d{4})-(?P<month>[A-Z][a-z]{2})-(?P<day>[ \d]\d) "
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))? ",
    re.ASCII,
)


def read_opengear(text: str, start: int, times: Times) -> Header | None:
    """Read a console server's header, whose time stands behind host and port; None where it is none."""
    match = _OPENGEAR.match(text, start)
    if match is None or match["month"] not in MONTHS:
        return None
    clock: Clock = (int(match["hour"]), int(match["minute"]), int(match["second"]))
    time = times.local((int(match["year"]), MONTHS[match["month"]], int(match["day"])), clock=clock)
    if time is not None:
        time += int((match["fraction"] or "").ljust(9, "0"))
    app, pid, message = read_tag(text, match.end())
    header = Header(time, match["host"], app, pid, message=message, family="opengear")
    return add_data(header if time is not None else header._replace(flags=("bad-time",)), OWN_DATA, port=match["port"])


def _read_huawei(header: Header, _: Times) -> Header:
    """Take module, severity and mnemonic for the tag where no blank follows their colon."""
    tag = _HUAWEI_TAG.match(header.message)
    if tag is None:
        return header
    return header._replace(app_name=tag["app"], proc_id=tag["pid"], message=header.message[tag.end() :])


def _read_mikrotik(header: Header, _: Times) -> Header:
    topics = _MIKROTIK.match(header.message)
    return (
        header if topics is None else header._replace(app_name=topics["topics"], message=header.message[topics.end() :])
    )


def _read_unifi(header: Header, _: Times) -> Header:
    """Take the process behind address, model and version for the tag; where no colon follows, all is message."""
    device = _UNIFI_TAG.match(header.message)
    if device is None:
        return header
    app, pid, message = read_tag(header.message, device.end())
    header = add_data(header, OWN_DATA, device=device[0].strip(' ():"'))
    return header._replace(app_name=app, proc_id=pid, message=message)


def _read_ontap(header: Header, _: Times) -> Header:
    event = _ONTAP.match(header.message)
    if event is None:
        return header
    return header._replace(hostname=header.hostname or event["host"], msg_id=event["event"])


def _read_procurve(header: Header, _: Times) -> Header:
    event = _PROCURVE.match(header.message)
    if event is None:
        return header
    return header._replace(app_name=event["app"], msg_id=event["number"], message=header.message[event.end() :])


def _read_clearpass(header: Header, times: Times) -> Header:
    match = _CLEARPASS.match(header.message)
    stamp = read_stamp(match["stamp"], 0, times) if match else None
    if match is None or stamp is None or stamp.time is None:
        return header
    time = stamp.time + int(match["milli"]) * 1_000_000
    if match["host"] != header.hostname:
        header = add_data(header, OWN_DATA, relay=header.hostname)
    return header._replace(
        time=time, hostname=match["host"], app_name=match["app"], message=header.message[match.end() :]
    )


def _read_junos(header: Header, _: Times) -> Header:
    """Take the card for the tag: `fpc0 (buf alloc) failed ...` has no colon."""
    app, message = header.message.split(" ", 1)
    return header._replace(app_name=app, message=message)


_JUNOS: Final = (
    r"RT_[A-Z0-9_]{2,32}|PERF_MON|fpc\d{1,2}|[ta]feb\d|/kernel|rpd|mgd|dcd|chassisd|eswd|craftd|alarmd|l2ald|l2cpd(?:-service)?"
    r"|lacpd|jdhcpd|jsrpd|kmd|pfed|ppmd|mib2d|cosd|dfwd|dfwc|idpd|utmd|appidd|vccpd|ksyncd|smgd|bbe-smgd|jddosd|fwauthd"
    r"|srxpfe|rmopd|xntpd|xinetd-jnpr|cscript|license-check|dfcd|pfe_ipc|autod|ilmid"
)

FAMILIES: Final = (
    Family(
        "ontap",
        "NetApp ONTAP",
        "host, event and severity stand between brackets",
        "host where the header has none; the event is the MSGID",
        message=r"\[[\w.-]{1,255}:[a-z][\w.]{1,128}:(?:emergency|alert|critical|error|warning|notice|info|debug)(?::\d{1,12})?\]:? ",
        read=_read_ontap,
    ),
    Family(
        "junos",
        "Juniper Junos, SRX",
        "the tag or APP-NAME is one of Junos' processes, or the SD-ID is Juniper's",
        "re0- is taken off the host, for both engines are one device",
        app=_JUNOS,
        numbers=(2636,),
        message=r"fpc\d{1,2} ",
        read=_read_junos,
    ),
    Family(
        "huawei",
        "Huawei VRP",
        "the tag is %%01, a module, a severity and a mnemonic between slashes, or those without %%01",
        "app and PROCID where no blank follows the colon",
        app=r"%%01[A-Z].{1,124}",
        numbers=(2011,),
        message=r"(?:%%01)?[A-Z][\w-]{0,63}/[0-7]/[\w-]{1,64}(?:\([a-z]\))?(?:\[\d{1,12}\])?:",
        read=_read_huawei,
    ),
    Family(
        "comware",
        "H3C and HPE Comware",
        "the tag is %%10, a module, a severity and a mnemonic between slashes",
        "app and PROCID where no blank follows the colon",
        app=r"%%10[A-Z].{1,124}",
        numbers=(25506,),
        message=r"%%10[A-Z][\w-]{0,63}/[0-7]/[\w-]{1,64}(?:\([a-z]\))?(?:\[\d{1,12}\])?:",
        read=_read_huawei,
    ),
    Family(
        "mikrotik",
        "MikroTik RouterOS, with and without a BSD header",
        "the message begins with two or more of RouterOS' topics between commas",
        "the topics are the app",
        app=rf"(?:{_TOPICS})(?:,(?:{_TOPICS})){{1,6}}",
        numbers=(14988,),
        message=rf"(?:{_TOPICS})(?:,!?(?:{_TOPICS})){{1,6}} ",
        read=_read_mikrotik,
    ),
    Family(
        "aruba",
        "ArubaOS controllers and access points",
        "a message number and a level between angle brackets follow the tag",
        app=r"authmgr|auth|stm|sapd|profmgr|fpapps|isakmpd|nanny|cli|mdns|wms|cfgm|dbsync|licensemgr|localdb|dds|gsmmgr|ads"
        r"|cluster_mgr|dot1x-proc|ofa|snmp|httpd|hwMon|radiusd-term|ucm|amon\w{0,16}|awc|sapm|tunneld|dhcpdwrap|fw_visibility",
        tagged=r" ?<\d{6}> ",
        numbers=(14823,),
        message=r"(?:\[[^\]\n]{1,128}\] ?)?:?\d{0,6}:? {0,2}<\d{4,6}> <(?:DBUG|INFO|NOTI|WARN|ERRS|CRIT|ALRT|EMRG)> ",
    ),
    Family(
        "aoscx",
        "Aruba CX",
        "the message begins with Event, a number and LOG_ between bars",
        app=r"hpe-[\w-]{1,48}|lldpd|intfd|ops-switchd|vland|mstpd|rapidpvstd|lacpd|hpe_\w{1,48}|fand|powerd|tempd|portd|ndmd"
        r"|dhcp\w{1,24}|port-accessd|vrrpd|event-mgr|configd|credential-mgr|systemd-coredump|crash-tools",
        tagged=r" ?Event\|\d{1,6}\|LOG_",
        numbers=(47196,),
        message=r"Event\|\d{1,6}\|LOG_",
    ),
    Family(
        "clearpass",
        "Aruba ClearPass",
        "a time with milliseconds, a host and CPPM_ stand behind the header",
        "time, host and app are the inner ones",
        message=r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [\w.:-]{1,255} CPPM_",
        read=_read_clearpass,
    ),
    Family(
        "procurve",
        "HPE ProCurve, ArubaOS-Switch",
        "an event number of five digits and a subsystem stand behind the host",
        "app; the number is the MSGID",
        message=r"\d{5} [\w.-]{1,32}: ",
        read=_read_procurve,
    ),
    Family(
        "ubiquiti",
        "Ubiquiti UniFi and EdgeRouter",
        "address, model and version stand before the tag, or a rule set of its firewall behind kernel: ([WAN_IN-2000-A])",
        "app and PROCID of the process behind them",
        app=_UNIFI,
        is_no_tag=True,
        numbers=(41112,),
        message=rf'\("[^"\n]{{1,64}}"\) |(?:{_UNIFI}):? ',
        read=_read_unifi,
    ),
    Family(
        "ubiquiti",
        "",
        "",
        apps=("kernel",),
        tagged=r"\[[A-Z0-9]{2,12}_(?:IN|OUT|LOCAL)\w{0,16}-(?:\d{1,6}|[A-Z])-",
        is_slow=True,
    ),
    Family(
        "eos",
        "Arista EOS",
        "a mnemonic such as %BGP-5-ADJCHANGE: follows the agent's name, which is the tag",
        app=r"[A-Z][A-Za-z0-9-]{1,47}",
        tagged=MNEMONIC + ": ",
        numbers=(30065,),
    ),
    Family(
        "fastpath",
        "switches on Broadcom FASTPATH: Dell PowerSwitch N, Ubiquiti EdgeSwitch, NETGEAR",
        "a source file, its line, a number and %% follow the tag",
        app=r"[A-Z][A-Za-z0-9_-]{1,47}",
        tagged=r"[\w.-]{1,64}\(\d{1,6}\) \d{1,12} %% ",
    ),
    Family(
        "opengear",
        "Opengear console servers",
        "host and port stand before a time such as 2018-Nov- 9 15:42:06.972",
        "time, host, app",
    ),
)
