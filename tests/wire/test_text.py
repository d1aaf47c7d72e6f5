import sys
import unicodedata
from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.text import human_bytes, human_seconds, printable, read_rfc3339, rfc3339

VISIBLE_FORMAT = {0x6DD, 0x70F, 0x8E2, 0x110BD, 0x110CD, *range(0x600, 0x606), 0x890, 0x891, *range(0x13430, 0x13440)}


def test_what_acts_on_a_terminal_is_shown_instead() -> None:
    assert printable("\x1b[31mred\x07\r\n\t\x9b2J\x7f") == r"\x1b[31mred\x07\x0d\x0a\x09\x9b2J\x7f"
    assert printable("a\u202egpj.exe\u2066\ufeff\u2028") == r"a\u{202e}gpj.exe\u{2066}\u{feff}\u{2028}"
    assert printable("\udcff\U000e0041") == r"\u{dcff}\u{e0041}"


def test_letters_of_every_script_and_backslashes_stay() -> None:
    for text in ("Sở Thông tin và Truyền thông", "C:\\temp\\new", "日本語 ไทย العربية", "→ ✓ 😀"):
        assert text == printable(text)


def test_every_control_format_and_separator_character_is_replaced() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code not in VISIBLE_FORMAT:
            assert printable(chr(code)).startswith("\\"), hex(code)


@given(st.text())
def test_what_is_printable_is_one_line_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert shown == printable(shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_767_225_600_123_456_789, "2026-01-01T00:00:00.123456789Z"),
        (-(1 << 63), "1677-09-21T00:12:43.145224192Z"),
        ((1 << 64) - 1, "2554-07-21T23:34:33.709551615Z"),
    ],
)
def test_times_are_written_with_nanoseconds_and_read_back(ns: int, text: str) -> None:
    assert text == rfc3339(ns)
    assert ns == read_rfc3339(text)


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_any_time_of_64_bits_comes_back(ns: int) -> None:
    assert ns == read_rfc3339(rfc3339(ns))
    assert datetime.fromisoformat(rfc3339(ns)[:19])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-01-01t00:00:00z", "2026-01-01T00:00:00Z"),
        ("2026-01-01 07:00:00+07:00", "2026-01-01T00:00:00Z"),
        ("2025-12-31T18:30:00.5-05:30", "2026-01-01T00:00:00.500Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.1234567899Z", "2026-01-01T00:00:00.123456789Z"),
    ],
)
def test_every_form_of_rfc3339_is_read(text: str, same: str) -> None:
    assert read_rfc3339(text) == read_rfc3339(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_what_is_no_time_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        read_rfc3339(text)


@given(st.text())
def test_any_text_is_a_time_or_value_error(text: str) -> None:
    with suppress(ValueError):
        read_rfc3339(text)


def test_sizes_and_durations_are_short() -> None:
    sizes = {0: "0 B", 999: "999 B", 1000: "1.0 KiB", 1536: "1.5 KiB", 131_072: "128 KiB", 2 << 30: "2.0 GiB"}
    assert sizes == {count: human_bytes(count) for count in sizes}
    spans = {0: "0 ms", 0.35: "350 ms", 4.21: "4.2 s", 90: "90 s", 2700: "45 min", 43_200: "12 h", 777_600: "9 d"}
    assert spans == {seconds: human_seconds(seconds) for seconds in spans}


@given(st.floats(0, 1e9))
def test_any_size_and_duration_fits_a_column(value: float) -> None:
    assert len(human_bytes(value)) <= 8
    assert len(human_seconds(value)) <= 8
