"""The fast path gives what the slow path gives, row for row, whatever the lines are."""

import re
from itertools import cycle, islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.syslog.columns import SD_ENTRIES, SIGN_ENTRIES, Origins, _sd_memo, _signs
from collectors.syslog.dialects import new_order
from collectors.syslog.fast import parse_block, parse_frames
from collectors.syslog.framing import DOUBT
from collectors.syslog.rows import SyslogRow
from collectors.syslog.slow import Origin, Reading, parse_line
from collectors.syslog.times import MEMO_ENTRIES, Times

RECEIVED = 1_795_485_600_000_000_000  # 2026-11-24T02:00:00Z
NEVER = re.compile(r"(?!)")
ORIGINS = Origins(RECEIVED, "tcp", peer="192.0.2.1", port=5140)


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


RFC5424 = [
    "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An application event",
    "<34>1 2003-10-11T22:14:15Z host su - ID47 - \ufeff'su root' failed",
    '<14>1 2026-11-24T01:59:59.123456+07:00 h a 1 m [a b="c"][d e="f\\"g" e="h"] xin chào',
    "<14>1 2026-02-30T01:59:59.123456+07:00 h a 1 m - no such day",
    "<192>1 2026-11-24T01:59:59Z h a 1 m - no such PRI",
    "<013>1 2026-11-24T01:59:59Z h a 1 m - leading zero",
    "<14>1 2026-11-24T01:59:59Z h a 1 m [a][a] twice",
    '<14>1 2026-11-24T01:59:59Z h a 1 m [a b="c] broken off',
    '<14>1 2026-11-24T01:59:59Z h a 1 m [a\\] b="x"] backslash in the id',
    "<14>1 2026-11-24T01:59:59+23:59 h a 1 m -  two blanks",
    "<14>1 2026-11-24T01:59:59+24:00 h a 1 m - no such zone",
    "<14>1 - - - - - - nothing but a message",
    "<14>1 - - - - - -",
    "<14>12 2026-11-24T01:59:59Z h a 1 m - version 12",
    "<14>1 2026-11-24T01:59:59.1Z h a 1 m - one digit",
]
RFC3164 = [
    "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    "<13>Feb  5 17:32:18 10.0.0.99 sshd[123]: Use the BFG!",
    "<13>Feb 29 17:32:18 host sshd[123]: leap day",
    "<13>Feb 30 17:32:18 host sshd[123]: no such day",
    "<13>Foo 11 17:32:18 host sshd[123]: no such month",
    "<13>Oct 11 22:14:60 host su: leap second",
    "<13>Oct 11 22:14:15 su: no host",
    "<13>Oct 11 22:14:15 haproxy[73411]: no host",
    "<13>Oct 11 22:14:15 host no tag",
    "<13>Oct 11 22:14:15 host root[1]:no blank",
    "<13>Oct 11 22:14:15 host root[1]: ",
    "<13>Oct 11 22:14:15 host root:",
    "<13>Oct 11 22:14:15 2026 host su: year after",
    "<13>Oct 11 22:14:15 UTC su: zone after",
    "<13>Oct 11 22:14:15 2001:db8::1 su: an address",
    "<13>Oct 11 2026 22:14:15 host su: year inside",
    "<13>Oct  1  22:14:15  host su: blanks",
    "<13>Oct 11 22:14:15 - su: nil host",
    "<13>2026-11-24T01:59:59.123456+07:00 host su[1]: rsyslog",
    "<13>2026-11-24T01:59:59Z host su: rsyslog",
    "<13>2026-13-24T01:59:59Z host su: no such month",
    "<13>2026-11-24T01:59:59 host su: no zone",
    "<13>Oct 11 22:14:15 host %ASA-6-302013: Built <13>1 - - - - - - inside",
]
OTHER = [
    "",
    " ",
    "plain",
    "<13>",
    "<13>x",
    "<>",
    "12 <13>x",
    "<13>Oct",
    "caf\u00e9 \u2028 \x85 \x1c",
    "<\u0661\u0663>Oct 11 22:14:15 h t: m",
]

TESTDATA = Path(__file__).parents[1] / "testdata" / "syslog"
DEVICES = [
    line
    for path in sorted(TESTDATA.glob("*/input.log"))
    if is_text(data := path.read_bytes())
    for line in data.decode().split("\n")[:-1]
]

DEVICES_TAKEN = [
    '<189>date=2026-11-24 time=08:15:02 devname="fw" devid="FG1" logid="1" type="traffic" subtype="local" srcip=192.0.2.1',
    "<166>Nov 24 2026 08:15:02 asa-1 : %ASA-6-302013: Built inbound TCP connection",
    "<14>Nov 24 08:15:02 pa-1 1,2026/11/24 08:15:02,007951000000001,TRAFFIC,end,2561",
    "<134>Nov 24 08:15:02 waf-1 CEF:0|Imperva Inc.|SecureSphere|14.7|1|Worm|High|act=Block",
    "<134>1 2026-11-24T08:15:02Z ids-1 ids 12 - - LEEF:2.0|Vendor|Sensor|3.0|Login|^|src=192.0.2.21",
]

fragments = st.sampled_from(
    [
        *RFC5424,
        *RFC3164,
        *OTHER,
        "<13>",
        "1 ",
        "- ",
        "Oct 11 22:14:15 ",
        '[a b="c"]',
        "[",
        "]",
        '"',
        "\\",
        ":",
        " ",
        "-",
        "\r",
        "\0",
        "\x0b",
        "\x0c",
        "\u2028",
        "\ufeff",
        "\u0664",
        "é",
        "2026-11-24T01:59:59.000Z ",
        "host ",
        "su[1]: ",
        "%ASA-6-302013: ",
        " : ",
        "CEF:0|",
        "29: ",
        "*",
        'devname="fw" ',
        "date=2026-11-24 time=01:02:03 ",
        "eventtime=1795482902123456789 ",
        'tz="+0700" ',
        "1,2026/11/24 08:15:02,0,TRAFFIC,",
        "Nov 24 2026 08:15:02",
        "x" * 300,
    ]
)
hostile = st.lists(
    st.one_of(
        fragments, st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20)
    ),
    max_size=6,
).map("".join)


@st.composite
def mangled(draw):
    """A good line with a stretch cut out, doubled or replaced."""
    line = draw(st.sampled_from(RFC5424 + RFC3164 + DEVICES))
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 10)))
    return line[:start] + draw(hostile) + line[end:]


lines = st.lists(
    st.one_of(st.sampled_from(RFC5424 + RFC3164 + OTHER + DEVICES), hostile, mangled()), min_size=1, max_size=12
)


def slowly(line: bytes, index: int = 0, origins: Origins = ORIGINS, *, is_cut: bool = False) -> tuple:
    times = Times("Asia/Ho_Chi_Minh")
    times.at(RECEIVED)
    return parse_line(line, origin=origins.of(index), reading=Reading("windows-1258", times), is_cut=is_cut)


def fast_reading() -> Reading:
    return Reading("windows-1258", Times("Asia/Ho_Chi_Minh"))


@settings(max_examples=400, deadline=None)
@given(lines)
@example(RFC5424)
@example(RFC3164)
@example(OTHER)
@example(DEVICES)
def test_a_block_of_any_lines_gives_the_rows_of_the_slow_path_in_order(texts: list[str]) -> None:
    block = "\n".join(texts).encode()
    rows = parse_block(block, origins=ORIGINS, reading=fast_reading(), order=new_order(), doubt=NEVER)
    assert [slowly(text.encode()) for text in texts] == rows


@settings(max_examples=200, deadline=None)
@given(lines)
def test_each_line_keeps_its_own_sender(texts: list[str]) -> None:
    origins = Origins(RECEIVED, "udp", peers=[f"192.0.2.{n}" for n in range(len(texts))], ports=range(len(texts)))
    block = "\n".join(texts).encode()
    rows = parse_block(block, origins=origins, reading=fast_reading(), order=new_order(), doubt=NEVER)
    assert [slowly(text.encode(), index, origins) for index, text in enumerate(texts)] == rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), lines.map(lambda some: some[0].encode())), max_size=10), st.data())
def test_frames_of_any_bytes_give_the_rows_of_the_slow_path_in_order(frames: list[bytes], data) -> None:
    cut = data.draw(st.sets(st.integers(0, max(0, len(frames) - 1)))) if frames else set()
    origins = Origins(RECEIVED, "udp", peers=[f"192.0.2.{n}" for n in range(len(frames))], ports=range(len(frames)))
    rows = parse_frames(frames, cut=cut, origins=origins, reading=fast_reading(), order=new_order())
    assert [slowly(each, n, origins, is_cut=n in cut) for n, each in enumerate(frames)] == rows


@pytest.mark.parametrize("line", [*RFC5424[:3], *RFC3164[:2], RFC3164[18], RFC3164[19]])
def test_common_lines_are_taken_by_a_pattern(line: str) -> None:
    assert any(dialect.pattern.findall(line)[0][0] for dialect in new_order())


@pytest.mark.parametrize(("folder", "fewest"), [("fortigate", 5), ("asa", 9), ("panos", 5), ("cef", 4), ("leef", 2)])
def test_most_lines_of_what_a_soc_gets_most_of_are_taken_by_a_pattern(folder: str, fewest: int) -> None:
    texts = (TESTDATA / folder / "input.log").read_text(encoding="utf-8").split("\n")[:-1]
    taken = [text for text in texts if any(grammar.pattern.findall(text)[0][0] for grammar in new_order())]
    assert fewest <= len(taken)


@pytest.mark.parametrize("good", [RFC5424[0], RFC3164[0], RFC3164[18], *DEVICES_TAKEN])
def test_a_dialect_that_took_most_lines_comes_first_next_time(good: str) -> None:
    order = new_order()
    (dialect,) = (each for each in order if each.pattern.findall(good)[0][0])
    parse_block(
        "\n".join([good] * 3 + ["x"]).encode(), origins=ORIGINS, reading=fast_reading(), order=order, doubt=NEVER
    )
    assert order[0] is dialect
    assert len(order) == len(new_order())


def test_a_block_with_an_octet_count_or_an_empty_line_is_handed_back() -> None:
    for doubtful in ("x\n23 <13>y", "x\n", "x\n\ny"):
        block = doubtful.encode()
        assert parse_block(block, origins=ORIGINS, reading=fast_reading(), order=new_order(), doubt=DOUBT) is None


def test_a_block_that_is_not_utf8_is_handed_back() -> None:
    assert parse_block(b"x\n\xff", origins=ORIGINS, reading=fast_reading(), order=new_order(), doubt=DOUBT) is None


def test_senders_that_do_not_fit_the_lines_hand_the_block_back() -> None:
    origins = Origins(RECEIVED, "udp", peers=["192.0.2.1"], ports=[1])
    assert parse_block(b"x\ny", origins=origins, reading=fast_reading(), order=new_order(), doubt=NEVER) is None


def test_one_line_that_is_not_utf8_sends_no_other_one_the_slow_way(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "collectors.syslog.fast.parse_line", lambda line, **rest: seen.append(line) or parse_line(line, **rest)
    )
    frames = [line.encode() for line in (RFC5424[0], RFC3164[0])] + [b"<13>Oct 11 22:14:15 h t: caf\xe9"]
    parse_frames(frames, cut=(), origins=ORIGINS, reading=fast_reading(), order=new_order())
    assert [frames[2]] == seen


def test_a_date_that_does_not_exist_sends_no_other_line_the_slow_way(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "collectors.syslog.fast.parse_line", lambda line, **rest: seen.append(line) or parse_line(line, **rest)
    )
    block = "\n".join([RFC5424[0], RFC5424[3], RFC3164[0], RFC3164[3]]).encode()
    parse_block(block, origins=ORIGINS, reading=fast_reading(), order=new_order(), doubt=NEVER)
    assert [RFC5424[3].encode(), RFC3164[3].encode()] == seen


def test_memos_stay_bounded_and_right_when_every_line_is_new() -> None:
    reading = fast_reading()
    texts = [
        f'<13>1 2026-{1 + n % 12:02d}-{1 + n % 28:02d}T{n % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z h a p m [i n="{n}"] x'
        for n in range(2 * MEMO_ENTRIES)
    ]
    for start in range(0, len(texts), 500):
        some = texts[start : start + 500]
        rows = parse_block("\n".join(some).encode(), origins=ORIGINS, reading=reading, order=new_order(), doubt=NEVER)
        assert len(some) == len(rows)
        assert rows[-1] == slowly(some[-1].encode())
        assert len(reading.times.iso) <= MEMO_ENTRIES
        assert len(_sd_memo) <= SD_ENTRIES


def test_the_memo_of_app_names_stays_bounded_and_right() -> None:
    reading = fast_reading()
    names = [*(f"app{n}" for n in range(SIGN_ENTRIES)), "rpd"]
    for start in range(0, len(names), 500):
        some = [f"<13>Nov 24 08:15:02 h {name}: m" for name in names[start : start + 500]]
        rows = parse_block("\n".join(some).encode(), origins=ORIGINS, reading=reading, order=new_order(), doubt=NEVER)
        assert len(_signs) <= SIGN_ENTRIES + 1
    assert SyslogRow(*rows[-1]).family == "junos"


def test_a_message_that_only_the_slow_path_can_name_sends_no_other_line_there(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "collectors.syslog.fast.parse_line", lambda line, **rest: seen.append(line) or parse_line(line, **rest)
    )
    odd = "<30>Nov 24 08:15:02 h Severity: Informational, Category: Audit, MessageID: USR0030, Message: m"
    block = "\n".join([RFC3164[0], odd, RFC5424[0], *DEVICES_TAKEN]).encode()
    parse_block(block, origins=ORIGINS, reading=fast_reading(), order=new_order(), doubt=NEVER)
    assert [odd.encode()] == seen


def test_a_year_less_time_is_read_anew_in_another_hour() -> None:
    reading = fast_reading()
    line = b"<13>Jun 30 12:00:00 host su: x"
    years = []
    for received in (RECEIVED, RECEIVED + 300 * 86_400 * 10**9):
        origins = ORIGINS._replace(received=received)
        rows = parse_block(line, origins=origins, reading=reading, order=new_order(), doubt=NEVER)
        years.append(SyslogRow(*rows[0]).time)
    assert years[1] - years[0] == 365 * 86_400 * 10**9


def test_a_pattern_that_loses_count_is_trusted_with_no_line() -> None:
    broken = [new_order()[0]._replace(pattern=re.compile("^a$", re.MULTILINE)), *new_order()]
    texts = list(islice(cycle(RFC5424 + RFC3164), 60))
    rows = parse_block("\n".join(texts).encode(), origins=ORIGINS, reading=fast_reading(), order=broken, doubt=NEVER)
    assert [slowly(text.encode()) for text in texts] == rows


def test_the_origin_of_one_line_is_that_of_its_index() -> None:
    origins = Origins(1, "udp", "cn", peers=["a", "b"], ports=[1, 2])
    assert Origin(1, "b", 2, "udp", "cn") == origins.of(1)
    assert ["b"] == list(origins.only([False, True]).peers)
