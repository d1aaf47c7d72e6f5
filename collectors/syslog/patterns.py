"""The fast patterns: one match a line, a whole chunk in one call of `findall`.

    chunk ──findall──► [(pri, time, ..., message, ""), ...]      one tuple a line
                       [("", ..., "", line), ...]                a line that is not the pattern's: only the last group

Each is a narrow grammar of its own: what it takes, it takes exactly as `slow.py` would; what it does not take costs
nothing but time. Its rules, each broken once by a measured example (86 KiB of hostile lines held a careless pattern
for 4.5 s), are checked by `tests/collectors/syslog/test_patterns.py` on the parsed pattern:

- ASCII and MULTILINE; every alternative begins at `^` and ends at `$`; the last takes any line;
- only possessive repeats, so nothing that was once matched is ever matched again;
- no class that can match a newline.
"""

import re
from typing import Final

from collectors.syslog.families.pairs import FORTIGATE_KEYS

_PRI: Final = r"<(\d{1,3}+)>"
_ISO: Final = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{3})(\d{3}|)|)(Z|[+-]\d\d:\d\d)"
_BSD: Final = r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)"
_SD: Final = r"(-|(?:\[[^\]\\\n]*+(?:\\[^\n][^\]\\\n]*+)*+\])++)"  # ends where it must; what is inside: a memo
_NOT_HOST: Final = r"(?!re\d[-.]|iDS-|DS-|DH-|DHI-|IPC-H|slot\d)"  # hosts whose name says more: `families/recognise.py`
_HOST: Final = (
    r"(?!(?:19|20)\d\d |UTC |GMT |Z |re\d[-.]|iDS-|DS-|DH-|DHI-|IPC-H|slot\d)([\w.:/@%~][\w.:/@%~-]{0,254}+)(?<!:)"
)
_SD_NAME: Final = r"[!#-<>-\\^-~]{1,32}+"
_SD_VALUE: Final = r'[^"\\\]\n]*+'  # without escapes
_TAG: Final = r"((?!\d++:)[!#-+\--9;?-Z\\^-z|~]{1,128}+)(?:\[([^\[\] \n]{1,128}+)\]: ?+|: )"  # no number, no comma
_TEXT: Final = r"([^\n]++)"
_MESSAGE: Final = (
    rf"(?!CEF:|LEEF:|\*\w|\[(?:[A-Z0-9]{{2,12}}+_|origin )| \[origin ){_TEXT}"  # none that says more by itself
)
_ANY: Final = r"^([^\n]*+)$"


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(rf"^{line}$|{_ANY}", re.ASCII | re.MULTILINE)


_IDS: Final = r"([!-~]{1,48}+) ([!-~]{1,128}+) ([!-~]{1,32}+)"
_RFC5424: Final = rf"1 {_ISO} {_NOT_HOST}([!-~]{{1,255}}+) {_IDS} {_SD} \ufeff?+"

RFC: Final = _pattern(rf"{_PRI}(?:{_RFC5424}{_MESSAGE}|{_BSD} {_HOST} {_TAG}{_MESSAGE})")
"""pri; of RFC 5424: seconds, milliseconds, microseconds, zone, host, app, procid, msgid, structured data, message; of
RFC 3164: time, host, tag, pid, message; the line. One pattern for both: a mixed chunk takes 0.8 µs a line, two 1.1."""

RFC3164_ISO: Final = _pattern(rf"{_PRI}{_ISO} {_HOST} {_TAG}{_MESSAGE}")
"""pri, seconds, milliseconds, microseconds, zone, host, tag, pid, message, the line: what rsyslog and syslog-ng forward."""

LOCAL: Final = _pattern(rf"{_PRI}{_BSD} {_TAG}{_MESSAGE}")
"""pri, time, tag, pid, message, the line: what the C library writes to a Unix socket. No host; `local.py`."""

_EVENT: Final = r"((?:CEF|LEEF):\d(?:\.\d)?+\|[^\n]*+)"

EVENT_RFC5424: Final = _pattern(rf"{_PRI}{_RFC5424.replace(_NOT_HOST, _NOT_HOST + '(?!- )')}{_EVENT}")
"""As the first half of `RFC`, with a CEF or LEEF event for the message, which names the host where the header does not."""

_V: Final = r'=(?:"[^"\n]{0,512}+"|[^ ,"\n]{0,512}+) '
_INSTANT: Final = r'(?:eventtime=(\d{10}(?:\d{9})?+) )?+(?:tz="([+-]\d{4})" )?+'
_FORTIGATE: Final = (
    r"(date=(\d{4}-\d\d-\d\d time=\d\d:\d\d:\d\d) "
    rf'devname=(?:"([^" \n]{{1,255}}+)"|([^", \n]{{1,255}}+)) devid{_V}{_INSTANT}'
    rf"logid{_V}type{_V}(?:subtype{_V})?+(?:eventtype{_V})?+(?:level{_V})?+(?:vd{_V})?+{_INSTANT}"
    rf"(?!(?:{FORTIGATE_KEYS})=)[^\n]*+)"
)
_PANOS: Final = r"(\d,\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,[0-9A-Za-z-]{0,32}+,[A-Z][A-Z-]{2,31}+,[^\n]*+)"
_ASA_STAMP: Final = r"(?:([A-Z][a-z]{2} [ \d]\d (?:\d{4} )?+\d\d:\d\d:\d\d)|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(Z))"
_ASA_NAME: Final = r"(?![A-Z]{1,5}+[ :])([A-Za-z][\w.-]{0,254}+|\d{1,3}+\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+)"
_ASA: Final = (
    rf"(?:{_ASA_STAMP}(?: {_ASA_NAME}(?: (?=:)|(?=:)))?+: |: ?+|)(%(?:ASA|PIX|FWSM|FTD)-[0-7]-\d{{1,6}}+): {_TEXT}"
)

FIREWALL: Final = _pattern(rf"{_PRI}(?:{_FORTIGATE}|{_BSD} {_HOST} (?:{_PANOS}|(?:(?!%){_TAG})?+{_EVENT})|{_ASA})")
"""pri; of FortiGate: message, date and clock, host quoted, host bare, eventtime and zone behind devid, and behind vd; of
PAN-OS and events: BSD time, host, columns, tag, pid, event; of ASA: BSD time with a year or without, seconds of RFC 3339,
their Z, host, tag, text; the line. One pattern for all: one that misses a line of 550 bytes costs 0.6 µs."""

SD_ELEMENT: Final = _pattern(rf'\[({_SD_NAME}) ({_SD_NAME})="({_SD_VALUE})"((?: {_SD_NAME}="{_SD_VALUE}")*+)\]')
"""Over structured data, one a line: id, name and value of the first param, the other params, the text."""
