"""Families: which kind of device wrote a line, and what its own grammar gives that neither RFC does.

    header by RFC 5424, RFC 3164 or none ──► by app name, by enterprise number, by how the message begins ──► family
    header that no RFC knows (Cisco, Meraki, NetScaler, console servers) ──► its own reader ──► columns and family

| file | what it holds |
|---|---|
| `family.py` | what a family is: its signs, its reader, its words for `edgepost parse` |
| `table.py` | all of them, and the look-ups: of an app name, an enterprise number, a message |
| `recognise.py` | one line: its own header, a header inside a header, its family |
| `cisco.py` | IOS, IOS-XR, NX-OS, ASA, FTD, WLC, ISE, Meraki |
| `firewalls.py` | FortiGate, PAN-OS, Check Point, Sophos, SonicWall, NetScaler, F5, Barracuda, pfSense |
| `networks.py` | Junos, Huawei, Comware, MikroTik, Aruba, Ubiquiti, EOS and other switches |
| `servers.py` | VMware, iDRAC, iLO, Windows forwarders, QNAP, exim, dovecot |
| `cameras.py` | Hikvision, Dahua |
| `events.py` | CEF and LEEF, whoever writes them |

A new family is one `Family` in the file where its kin stand, its case folder and its line in the table of
`docs/collectors/syslog.md`; a test asks for all three.
"""
