"""One line, one row: RFC 5424 whole, RFC 3164 with its bends, and everything else kept with a flag."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.syslog.explain import FLAGS
from collectors.syslog.rows import SyslogRow
from collectors.syslog.slow import Origin, Reading, parse_line
from collectors.syslog.times import Times

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def parse(line: str | bytes, *, now: datetime = NOW, zone: str = "UTC", encoding: str = "windows-1258", is_cut=False):
    times = Times(zone)
    times.at(ns(now))
    data = line.encode() if isinstance(line, str) else line
    origin = Origin(ns(now), "192.0.2.1", 514, "udp")
    return SyslogRow(*parse_line(data, origin=origin, reading=Reading(encoding, times), is_cut=is_cut))


def header(row: SyslogRow) -> tuple:
    return row.hostname, row.app_name, row.proc_id, row.msg_id


# --- RFC 5424 ---


def test_rfc5424_is_read_whole() -> None:
    line = '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [ex@32473 iut="3"] \ufeffAn entry...'
    assert parse(line) == SyslogRow(
        time=ns(datetime(2003, 10, 11, 22, 14, 15, 3000, tzinfo=UTC)),
        received=ns(NOW),
        peer="192.0.2.1",
        port=514,
        transport="udp",
        identity=None,
        facility=20,
        severity=5,
        hostname="mymachine.example.com",
        app_name="evntslog",
        proc_id=None,
        msg_id="ID47",
        structured_data={"ex@32473": {"iut": "3"}},
        message="An entry...",
        format="rfc5424",
        family=None,
        flag=None,
        raw=None,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-", None),
        ("[a]", {"a": {}}),
        ('[a b="c" d="e"][f g="h"]', {"a": {"b": "c", "d": "e"}, "f": {"g": "h"}}),
        (r'[a b="\"\\\]"]', {"a": {"b": '"\\]'}}),
        (r'[a b="C:\new"]', {"a": {"b": r"C:\new"}}),
        ('[a b=""]', {"a": {"b": ""}}),
        ('[a b="1" b="2" b="3"]', {"a": {"b": ["1", "2", "3"]}}),
        ('[a b="đường ]"]'.replace(" ]", r" \]"), {"a": {"b": "đường ]"}}),
        ('[a\\ b="c"]', {"a\\": {"b": "c"}}),
    ],
)
def test_structured_data_is_read(text: str, expected: dict | None) -> None:
    row = parse(f"<14>1 - - - - - {text} m")
    assert (row.structured_data, row.message, row.flag) == (expected, "m", None)


def test_a_repeated_id_is_merged_and_flagged() -> None:
    row = parse('<14>1 - - - - - [a b="1"][a b="2" c="3"] m')
    assert row.structured_data == {"a": {"b": ["1", "2"], "c": "3"}}
    assert row.flag == "repeated-sd"
    assert row.raw == b'<14>1 - - - - - [a b="1"][a b="2" c="3"] m'


@pytest.mark.parametrize(
    ("line", "flag", "message"),
    [
        ('<14>1 - - - - - [a b="c] m', "bad-sd", '[a b="c] m'),
        ('<14>1 - - - - - [a b="c"]m', "bad-sd", '[a b="c"]m'),
        ("<14>1 - - - - - [=] m", "bad-sd", "[=] m"),
        ("<14>1 - - - - - m", "bad-sd", "m"),
        ("<14>1 - - - - - -m", "bad-sd", "-m"),
        ("<14>1 - - - - -", "bad-sd", None),
        ("<14>1 - - - -", "bad-msgid", None),
        ("<14>1 - " + "h" * 256 + " - - - - m", "bad-host", "h" * 256 + " - - - - m"),
        ("<14>1 - - " + "a" * 49 + " - - - m", "bad-app", "a" * 49 + " - - - m"),
        ("<14>1 - - - " + "p" * 129 + " - - m", "bad-procid", "p" * 129 + " - - m"),
        ("<14>1 - - - - " + "i" * 33 + " - m", "bad-msgid", "i" * 33 + " - m"),
        ("<14>1 - h\u00e9 - - - - m", "bad-host", "hé - - - - m"),
        ("<14>1 - -  - - - m", "bad-app", " - - - m"),
        ("<14>1 yesterday h a p i - m", "bad-time", "yesterday h a p i - m"),
        ("<14>1 2026-02-30T00:00:00Z h a p i - m", "bad-time", "m"),
        ("<14>1 2026-02-03T00:00:60Z h a p i - m", "bad-time", "m"),
        ("<14>1 2026-02-03T00:00:00 h a p i - m", "bad-time", "m"),
        ("<14>1 2026-02-03T00:00:00.1234567Z h a p i - m", "bad-time", "m"),
    ],
)
def test_what_breaks_rfc5424_is_kept_with_the_fields_before_it_and_a_flag(line, flag, message) -> None:
    row = parse(line)
    assert (row.flag, row.message, row.format) == (flag, message, "rfc5424")
    assert row.raw == (line.encode() if flag else None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-02-03T04:05:06Z", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("2026-02-03T04:05:06.1+07:00", datetime(2026, 2, 2, 21, 5, 6, 100_000, tzinfo=UTC)),
        ("2026-02-03T04:05:06.000001-00:30", datetime(2026, 2, 3, 4, 35, 6, 1, tzinfo=UTC)),
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, tzinfo=UTC)),
    ],
)
def test_times_of_rfc5424_are_exact(text: str, moment: datetime) -> None:
    assert parse(f"<14>1 {text} - - - - - m").time == ns(moment)


def test_a_bent_time_is_read_where_it_is_unambiguous() -> None:
    row = parse("<29>1 2024-03-05T14:03:07.123456+00:00Z host app - - - m")
    assert (row.time, row.flag) == (ns(datetime(2024, 3, 5, 14, 3, 7, 123_456, tzinfo=UTC)), "bad-time")
    assert parse("<29>1 2024-03-05T14:03:07.1234567+0700 h a - - - m").time == 1_709_622_187_123_456_700


@pytest.mark.parametrize("year", ["0001", "1677", "2262", "9999"])
def test_a_time_that_64_bits_cannot_hold_is_none(year: str) -> None:
    row = parse(f"<14>1 {year}-01-01T00:00:00Z - - - - - m")
    assert (row.time, row.flag) == (None, "bad-time")


# --- RFC 3164 ---


@pytest.mark.parametrize(
    ("line", "moment", "expected", "message"),
    [
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
            (2026, 10, 11, 22, 14, 15),
            ("mymachine", "su", None),
            "'su root' failed",
        ),
        ("<13>Feb  5 17:32:18 10.0.0.99 sshd[12]: m", (2027, 2, 5, 17, 32, 18), ("10.0.0.99", "sshd", "12"), "m"),
        ("<13>Feb 5 17:32:18 h t: unpadded", (2027, 2, 5, 17, 32, 18), ("h", "t", None), "unpadded"),
        ("<13>Sep 01 02:03:04 h t: zero padded", (2026, 9, 1, 2, 3, 4), ("h", "t", None), "zero padded"),
        ("<13>Oct 11 22:14:15 su: no host", (2026, 10, 11, 22, 14, 15), (None, "su", None), "no host"),
        ("<13>Oct 11 22:14:15 haproxy[1]: no host", (2026, 10, 11, 22, 14, 15), (None, "haproxy", "1"), "no host"),
        ("<13>Oct 11 22:14:15 host no tag here", (2026, 10, 11, 22, 14, 15), ("host", None, None), "no tag here"),
        ("<13>Oct 11 22:14:15 2001:db8::1 t: m", (2026, 10, 11, 22, 14, 15), ("2001:db8::1", "t", None), "m"),
        ("<13>Oct 11 22:14:15 h root[1]:no blank", (2026, 10, 11, 22, 14, 15), ("h", "root", "1"), "no blank"),
        ("<13>Oct 11 22:14:15 h : %FWSM-6-1: m", (2026, 10, 11, 22, 14, 15), ("h", "%FWSM-6-1", None), "m"),
        ("<13> Oct 11 22:14:15: %ASA-4-4: m", (2026, 10, 11, 22, 14, 15), (None, "%ASA-4-4", None), "m"),
        ("<13>Oct 11 22:14:15  h t: two blanks", (2026, 10, 11, 22, 14, 15), ("h", "t", None), "two blanks"),
        ("<13>Oct 11 22:14:15 h CEF:0|a|b", (2026, 10, 11, 22, 14, 15), ("h", None, None), "CEF:0|a|b"),
        ('<13>Oct 11 22:14:15 {"no": "host"}', (2026, 10, 11, 22, 14, 15), (None, None, None), '{"no": "host"}'),
        ("<13>Oct 11 2024 22:14:15 h t: m", (2024, 10, 11, 22, 14, 15), ("h", "t", None), "m"),
        ("<13>2024 Oct 11 22:14:15 h t: m", (2024, 10, 11, 22, 14, 15), ("h", "t", None), "m"),
        ("<13>Oct 11 22:14:15 2024 h t: m", (2024, 10, 11, 22, 14, 15), ("h", "t", None), "m"),
        ("<13>Oct 11 22:14:15 UTC h t: m", (2026, 10, 11, 22, 14, 15), ("h", "t", None), "m"),
        ("<13>Oct 11 22:14:15 +0700 h t: m", (2026, 10, 11, 15, 14, 15), ("h", "t", None), "m"),
        ("<13>Oct 11 22:14:15.123 h t: m", (2026, 10, 11, 22, 14, 15, 123_000), ("h", "t", None), "m"),
        ("<13>2024-03-05T14:03:07.123456+07:00 h t[1]: m", (2024, 3, 5, 7, 3, 7, 123_456), ("h", "t", "1"), "m"),
        ("<13>2024-03-05 14:03:07 h t: m", (2024, 3, 5, 14, 3, 7), ("h", "t", None), "m"),
        ("<13>2018-6-9 02:13:38 h t: m", (2018, 6, 9, 2, 13, 38), ("h", "t", None), "m"),
        ("<13>2018-06-19T02:13:38Z+00 h m", (2018, 6, 19, 2, 13, 38), ("h", None, None), "m"),
        ("<13>2018-06-19T02:13:38 Zeus t: m", (2018, 6, 19, 2, 13, 38), ("Zeus", "t", None), "m"),
        ("<13>Oct 11 22:14:15 h t:", (2026, 10, 11, 22, 14, 15), ("h", "t", None), None),
        ("<13>Oct 11 22:14:15", (2026, 10, 11, 22, 14, 15), (None, None, None), None),
        ("<13>Oct 11 22:14:15 h", (2026, 10, 11, 22, 14, 15), ("h", None, None), None),
        ("<13>Oct 11 22:14:15 - t: m", (2026, 10, 11, 22, 14, 15), (None, "t", None), "m"),
        ("<13>Dec 31 23:59:60 h t: leap", (2027, 1, 1, 0, 0, 0), ("h", "t", None), "leap"),
    ],
)
def test_rfc3164_is_read_with_its_bends(line, moment, expected, message) -> None:
    row = parse(line)
    assert (row.time, header(row)[:3], row.message) == (ns(datetime(*moment, tzinfo=UTC)), expected, message)
    assert (row.format, row.flag, row.raw) == ("rfc3164", None, None)


def test_a_missing_day_is_the_one_nearest_to_the_receipt_and_flagged() -> None:
    row = parse("<13>Nov 01:59:00 h t: m")
    assert (row.time, row.flag) == (ns(datetime(2026, 11, 24, 1, 59, tzinfo=UTC)), "no-day")
    assert parse("<13>Dec 01:59:00 h t: m").time == ns(datetime(2026, 12, 1, 1, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "line", "year"),
    [
        (datetime(2027, 1, 1, 0, 5, tzinfo=UTC), "<13>Dec 31 23:59:59 h t: m", 2026),
        (datetime(2026, 12, 31, 23, 55, tzinfo=UTC), "<13>Jan  1 00:00:01 h t: m", 2027),
        (datetime(2027, 3, 1, tzinfo=UTC), "<13>Feb 29 12:00:00 h t: m", 2028),
        (datetime(2025, 3, 1, tzinfo=UTC), "<13>Feb 29 12:00:00 h t: m", 2024),
    ],
)
def test_a_time_without_a_year_is_of_the_nearest_one(now: datetime, line: str, year: int) -> None:
    stamp = parse(line, now=now).time
    assert stamp is not None
    assert (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stamp // 1000)).year == year


def test_a_time_without_a_zone_is_of_the_listeners() -> None:
    row = parse("<13>Oct 11 22:14:15 h t: m", zone="Asia/Ho_Chi_Minh")
    assert row.time == ns(datetime(2026, 10, 11, 15, 14, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    "line", ["<13>Feb 30 00:00:00 h t: m", "<13>2026-13-01T00:00:00Z h t: m", "<13>Oct 11 25:00:00 h t: m"]
)
def test_a_time_that_does_not_exist_is_none_and_flagged(line: str) -> None:
    row = parse(line)
    assert (row.time, row.hostname, row.app_name, row.message, row.flag) == (None, "h", "t", "m", "bad-time")


# --- neither ---


@pytest.mark.parametrize(
    ("line", "pri", "fmt", "app", "message", "flag"),
    [
        ("just text", (1, 5), "none", None, "just text", "no-pri no-time"),
        ("Oct 11 22:14:15 h t: m", (1, 5), "rfc3164", "t", "m", "no-pri"),
        (
            "<30>neither,nor a header",
            (3, 6),
            "none",
            None,
            "neither,nor a header",
            "no-time",
        ),
        ("<30>dnsmasq[7]: query", (3, 6), "rfc3164", "dnsmasq", "query", "no-time"),
        ("<13> test-host this is", (1, 5), "none", None, "test-host this is", "no-time"),
        ("<192>Oct 11 22:14:15 h t: m", (1, 5), "rfc3164", "t", "m", "bad-pri"),
        ("<-1>Oct 11 22:14:15 h t: m", (1, 5), "rfc3164", "t", "m", "bad-pri"),
        ("<013>Oct 11 22:14:15 h t: m", (1, 5), "rfc3164", "t", "m", "bad-pri"),
        ("<>1 - - - - - - m", (1, 5), "rfc5424", None, "m", "bad-pri"),
        ("<\u0661\u0663>Oct 11 22:14:15 h t: m", (1, 5), "rfc3164", "t", "m", "bad-pri"),
        ("13 Oct 11 22:14:15 h t: m", (1, 5), "none", None, "13 Oct 11 22:14:15 h t: m", "no-pri no-time"),
        ("<13>", (1, 5), "none", None, None, "no-time"),
        ("<13", (1, 5), "none", None, "<13", "no-pri no-time"),
        ("", (1, 5), "none", None, None, "no-pri no-time"),
    ],
)
def test_what_is_neither_is_kept_and_flagged(line, pri, fmt, app, message, flag) -> None:
    row = parse(line)
    assert ((row.facility, row.severity), row.format, row.app_name, row.message, row.flag) == (
        pri,
        fmt,
        app,
        message,
        flag,
    )
    assert row.raw == line.encode()


# --- text ---


def test_a_message_that_is_not_utf8_is_read_in_the_listeners_encoding() -> None:
    row = parse(b"<13>Oct 11 22:14:15 h t: caf\xe9")
    assert (row.message, row.flag, row.raw) == ("café", "encoding", b"<13>Oct 11 22:14:15 h t: caf\xe9")
    assert parse(b"<13>Oct 11 22:14:15 h t: \xd6\xd0\xce\xc4", encoding="gb18030").message == "中文"


def test_a_header_that_is_not_utf8_shows_its_bytes_and_spares_the_message() -> None:
    row = parse("<13>Oct 11 22:14:15 h X: đường".encode().replace(b"X", b"a[\xe9]"))
    assert (row.app_name, row.proc_id, row.message, row.flag) == ("a", r"\xe9", "đường", "encoding")


def test_structured_data_that_are_not_utf8_show_their_bytes() -> None:
    row = parse(b'<13>1 - - - - - [a b="\xe9" b="\xff"] ok')
    assert (row.structured_data, row.message, row.flag) == ({"a": {"b": [r"\xe9", r"\xff"]}}, "ok", "encoding")


def test_a_bom_before_bytes_that_are_not_utf8_is_dropped_too() -> None:
    assert parse(b"<13>1 - - - - - - \xef\xbb\xbf\xe9").message == "é"


def test_newlines_and_nul_inside_a_message_are_kept() -> None:
    assert parse("<13>Oct 11 22:14:15 h t: a\nb\0c\r\u2028d").message == "a\nb\0c\r\u2028d"


def test_a_beginning_is_flagged_cut_and_kept_raw() -> None:
    row = parse("<13>Oct 11 22:14:15 h t: m", is_cut=True)
    assert (row.flag, row.raw) == ("cut", b"<13>Oct 11 22:14:15 h t: m")


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(
            st.sampled_from([b"<13>", b"<13>1 ", b"<13>Oct 11 ", b"<13>1 - - - - - ["]), st.binary(max_size=99)
        ).map(b"".join),
    )
)
def test_any_bytes_give_a_row_of_valid_text(line: bytes) -> None:
    row = parse(line)
    assert 0 <= row.facility <= 23
    assert 0 <= row.severity <= 7
    assert row.format in {"rfc5424", "rfc3164", "none"}
    assert set((row.flag or "").split()) <= set(FLAGS)
    assert (row.raw == line) if row.flag else row.raw is None
    for text in (row.hostname, row.app_name, row.proc_id, row.msg_id, row.message, *(row.structured_data or {})):
        assert text is None or text.encode()
