"""The grammar of a Unix socket: the fast path gives what the slow path gives, and a host is never made up."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.syslog.columns import Origins
from collectors.syslog.fast import parse_block
from collectors.syslog.listener import Listener
from collectors.syslog.local import local_order, reading_of
from collectors.syslog.slow import Origin, Reading, parse_line

RECEIVED = 1_795_600_000_000_000_000  # 2026-11-25
NEVER = re.compile(r"(?!)")
WHOLE = [
    "<13>Nov 25 10:00:00 su[7]: text",
    "<13>Nov 25 10:00:00 su: text",
    "<30>Nov 25 10:00:00 my app[7]: text",
    "<22>Nov 25 10:00:00 exim[4]: 1tFk3a-0001Ab-2C <= a@b.example U=root P=local S=400",
    "<22>Nov 25 10:00:00 dovecot: imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.1",
    "<13>Nov 25 10:00:00 app[1]: CEF:0|Vendor|Product|1|1|Name|5|act=Block",
    "<13>Nov 25 10:00:00 29: *Mar  1 00:01:12: %SYS-5-CONFIG_I: Configured",
    "<13>Nov 31 10:00:00 su: no such day",
    "<200>Nov 25 10:00:00 su: no such PRI",
    "<14>1 2026-11-25T01:59:59Z h a 1 m - RFC 5424",
]
PIECES = [
    "<13>",
    "Nov 25 10:00:00 ",
    "su",
    "su: ",
    "su[7]: ",
    "[7]",
    ": ",
    ":",
    " ",
    "host ",
    "[",
    "]",
    "é",
    "\x85",
    "CEF:0|",
]
lines = st.lists(
    st.one_of(
        st.sampled_from(WHOLE),
        st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=5)))
        .map("".join),
        st.lists(st.sampled_from(PIECES), max_size=4).map(lambda some: "<13>Nov 25 10:00:00 " + "".join(some)),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


def reading() -> Reading:
    made = reading_of(Listener(bind="unix:///x", zone="Asia/Ho_Chi_Minh"), is_local=True)
    made.times.at(RECEIVED)
    return made


@settings(max_examples=300, deadline=None)
@given(lines)
@example(WHOLE)
def test_a_block_of_any_lines_gives_the_rows_of_the_slow_path_each_with_its_sender(texts: list[str]) -> None:
    nobody = [None] * len(texts)
    who = [f"uid=0 pid={number}" for number in range(len(texts))]
    origins = Origins(RECEIVED, "unix", peers=nobody, ports=nobody, identities=who)
    block = "\n".join(texts).encode()
    rows = parse_block(block, origins=origins, reading=reading(), order=local_order(), doubt=NEVER)
    assert rows == [
        parse_line(text.encode(), origin=Origin(RECEIVED, None, None, "unix", each), reading=reading())
        for text, each in zip(texts, who, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["su", "host", "my app", "[7]", ": ", ":", " ", "x"]), max_size=6).map("".join))
def test_behind_a_time_there_is_never_a_host(rest: str) -> None:
    row = parse_line(
        f"<13>Nov 25 10:00:00 {rest}".encode(), origin=Origin(RECEIVED, None, None, "unix"), reading=reading()
    )
    assert (None, "rfc3164") == (row[8], row[14])
