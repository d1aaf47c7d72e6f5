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

_PRI: Final = r"<(\d{1,3}+)>"
_ISO: Final = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{3})(\d{3}|)|)(Z|[+-]\d\d:\d\d)"
_BSD: Final = r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)"
_SD: Final = r"(-|(?:\[[^\]\\\n]*+(?:\\[^\n][^\]\\\n]*+)*+\])++)"  # ends where it must; what is inside: a memo
_HOST: Final = r"(?!(?:19|20)\d\d |UTC |GMT |Z )([\w.:/@%~][\w.:/@%~-]{0,254}+)(?<!:)"  # no year, no zone, no tag
_SD_NAME: Final = r"[!#-<>-\\^-~]{1,32}+"
_SD_VALUE: Final = r'[^"\\\]\n]*+'  # without escapes
_TAG: Final = r"([!#-9;?-Z\\^-z|~]{1,128}+)(?:\[([^\[\] \n]{1,128}+)\]: ?+|: )"
_MESSAGE: Final = r"([^\n]++)"
_ANY: Final = r"^([^\n]*+)$"


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(rf"^{line}$|{_ANY}", re.ASCII | re.MULTILINE)


RFC: Final = _pattern(
    rf"{_PRI}(?:"
    rf"1 {_ISO} ([!-~]{{1,255}}+) ([!-~]{{1,48}}+) ([!-~]{{1,128}}+) ([!-~]{{1,32}}+) {_SD} \ufeff?+{_MESSAGE}"
    rf"|{_BSD} {_HOST} {_TAG}{_MESSAGE})"
)
"""pri; of RFC 5424: seconds, milliseconds, microseconds, zone, host, app, procid, msgid, structured data, message; of
RFC 3164: time, host, tag, pid, message; the line. One pattern for both: a mixed chunk takes 0.8 µs a line, two 1.1."""

RFC3164_ISO: Final = _pattern(rf"{_PRI}{_ISO} {_HOST} {_TAG}{_MESSAGE}")
"""pri, seconds, milliseconds, microseconds, zone, host, tag, pid, message, the line: what rsyslog and syslog-ng forward."""

SD_ELEMENT: Final = _pattern(rf'\[({_SD_NAME}) ({_SD_NAME})="({_SD_VALUE})"((?: {_SD_NAME}="{_SD_VALUE}")*+)\]')
"""Over structured data, one a line: id, name and value of the first param, the other params, the text."""
