"""Servers, their management cards, and what forwards for them.

    2024-03-05T14:03:07.123Z esx1 Hostd: info hostd[2099912] [Originator@6876 ...] ...      ESXi
    Mar  5 14:03:07 idrac-ABC1234 Severity: Informational, Category: Audit, MessageID: USR0030, Message: ...
    Mar  5 14:03:07 dc1 MSWinEventLog<TAB>1<TAB>Security<TAB>4711<TAB>...                   Snare, NXLog to_syslog_snare
    1 2024-03-05T14:03:07.1+07:00 dc1 Microsoft-Windows-Security-Auditing 572 - [NXLOG@14506 ...] ...
    2024-03-05 14:03:07 1rhXYZ-0000Ab-CD <= user@example.com ...                            exim, from its own file

Sources: vSphere "ESXi Log Files", iDRAC "Remote System Logging", iLO "Syslog", NXLog "Syslog and Snare", Snare "Format of
event log messages", exim "Log files", dovecot "Logging", QNAP "QuLog Center".
"""

import re
from typing import Final

from collectors.syslog.families.family import Family
from collectors.syslog.header import Header
from collectors.syslog.times import Times

_IDRAC: Final = re.compile(r"MessageID: (?P<id>[A-Z]{2,4}\d{3,5})")
_SNARE: Final = re.compile(r"(?:(?P<host>[\w.-]{1,255})\t)?(?:MSWinEventLog|AgentDevice=)")
_SNARE_ID: Final = re.compile(r"MSWinEventLog\t\d\t[^\t\n]{1,255}\t\d{1,12}\t[^\t\n]{1,64}\t(?P<id>\d{1,6})\t")
_EXIM_ID: Final = r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}"
EXIM_ID: Final = re.compile(_EXIM_ID)
"""exim's number of a message; in lines of its own file it stands where a host would."""

_EXIM_SIGN: Final = (
    rf"(?:\[\d{{1,10}}\] )?{_EXIM_ID} (?:<=|=>|->|>>|\*>|==|\*\*|Completed|SA|removed|Message|Frozen|Unfrozen)"
)
_EXIM: Final = re.compile(r"(?P<id>" + _EXIM_ID + r") ")


def _read_idrac(header: Header, _: Times) -> Header:
    found = _IDRAC.search(header.message, 0, 256)
    return header if found is None else header._replace(msg_id=found["id"])


def _read_snare(header: Header, _: Times) -> Header:
    """Take the event's number for the MSGID and, where the header has no host, the column before the sign."""
    match = _SNARE.match(header.message)
    if match and match["host"]:
        header = header._replace(
            hostname=header.hostname or match["host"], message=header.message[match.end("host") + 1 :]
        )
    event = _SNARE_ID.match(header.message)
    return header if event is None else header._replace(app_name="MSWinEventLog", msg_id=event["id"])


def _read_exim(header: Header, _: Times) -> Header:
    """Take the message's number for the MSGID; a line of exim's own file has no host, so what looked like one is it."""
    found = _EXIM.search(header.message, 0, 64)
    return header if found is None else header._replace(app_name="exim", msg_id=found["id"])


FAMILIES: Final = (
    Family(
        "vmware",
        "VMware ESXi, vCenter, NSX",
        "the tag or APP-NAME is one of VMware's services, or the SD-ID is VMware's",
        app=r"[Hh]ostd(?:-probe|CgiServer)?|[Vv]pxa(?:-main)?|vmkernel|vmkwarning|vobd|[Rr]httpproxy|[Ff]dm|vpxd(?:-main|-svcs)?"
        r"|vsan(?:mgmtd|observer|traceUrgent|system)|vmauthd|storageRM|sdrsInjector|esxupdate|vmkeventd|vmkdevmgr|vmdird"
        r"|vmafdd|vmcad|vmon|vsphere-(?:ui|client)|applmgmt|NSXV?|nsxv|dfwpktlogs|envoy-access|backup\.sh|localcli"
        r"|(?:vmware|vsan|nsx)-[\w-]{1,48}",
        numbers=(6876,),
        message=r"\[Originator@6876 ",
    ),
    Family(
        "idrac",
        "Dell iDRAC and Server Administrator",
        "the message begins with Severity: and Category:, or the tag is Server_Administrator",
        "MessageID: is the MSGID",
        apps=("Severity",),
        tagged=r"\w{1,24}, Category: ",
        is_no_tag=True,
        message=r"Severity: \w{1,24}, Category: ",
        read=_read_idrac,
    ),
    Family(
        "idrac",
        "",
        "",
        apps=("Server_Administrator", "idrac", "iDRAC", "racadm"),
        app=r"i?DRAC\w{0,8}",
        numbers=(674,),
    ),
    Family(
        "ilo",
        "HPE iLO and Synergy",
        "the tag, APP-NAME or beginning of the message is #ILO and its number",
        app=r"#?i?(?:ILO|iLO|LO)\s?\d",
        numbers=(232,),
        message=r"#?(?:ILO|iLO)\s?\d",
    ),
    Family(
        "windows",
        "Windows by NXLog, Snare, WinCollect and others",
        "MSWinEventLog or AgentDevice= stands in the message between tabs, or the app is a Windows event source, or the"
        " SD-ID is NXLog's",
        "the event's number is the MSGID (Snare)",
        apps=(
            "MSWinEventLog",
            "Security-Auditing",
            "Service_Control_Manager",
            "EvntSLog",
            "nxlog",
            "Snare",
            "WinEvtLog",
        ),
        app=r"Microsoft-Windows-[\w-]{1,128}",
        numbers=(14506, 311),
        message=r"(?:[\w.-]{1,255}\t)?(?:MSWinEventLog[\t ]|AgentDevice=W)",
        read=_read_snare,
    ),
    Family(
        "qnap",
        "QNAP",
        "the tag is qulogd or qlogd, or the message begins with conn log: or event log: and Users:",
        apps=("qulogd", "qlogd"),
        app=r"qu?logd\w{0,8}",
        numbers=(24681,),
        message=r"(?:conn|event) log: Users: |qu?logd\[\d{1,10}\] ",
    ),
    Family(
        "exim",
        "exim",
        "the tag is exim, or the message begins with exim's message number and a sign such as <= or =>",
        "the message number is the MSGID",
        apps=("exim", "exim4"),
        message=_EXIM_SIGN,
        read=_read_exim,
    ),
    Family(
        "dovecot",
        "dovecot",
        "the tag is dovecot, or one of its services",
        apps=("dovecot", "imap-login", "pop3-login", "managesieve-login", "submission-login", "lmtp"),
        message=r"(?:imap|pop3|lmtp|managesieve|submission)\([^()\s]{1,100}\)(?:<[^<>\s]{1,64}>){0,2}: ",
    ),
)
