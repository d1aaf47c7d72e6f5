"""Syslog over UDP, TCP, TLS and Unix sockets, RFC 5424, RFC 3164 and what devices make of them, told apart line by line.

| step | files |
|---|---|
| open, read, frame | `collect.py`, `config.py`, `sockets.py`, `pump.py`, `udp.py`, `datagrams.py`, `tcp.py`, `framing.py` |
| a chunk of lines, fast | `fast.py` places rows; `patterns.py` cuts lines; `columns.py` has the memos; `dialects.py` (RFCs) and `firewalls.py` make columns |
| one line, always right | `slow.py` leads; `rfc5424.py`, `rfc3164.py` read headers; `stamps.py`, `times.py` times; `structured_data.py` |
| which device | `families/`: its table, its own headers |
| where it goes, why | `lanes.py`, `rows.py`, `explain.py` |
"""
