"""Messages come out of a stream the same however it is cut into chunks, and the stream stays in step."""

import itertools
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.syslog.connection import read_rows
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.framing import Framer, Frames
from collectors.syslog.rows import SyslogRow
from collectors.syslog.slow import Reading, parse_line
from collectors.syslog.times import Times

LIMIT = 480
RECEIVED = 1_795_485_600_000_000_000
ORIGINS = Origins(RECEIVED, "tcp", peer="192.0.2.1", port=5140)


def frame(chunks: list[bytes], limit: int = LIMIT, *, ends: bool = True) -> tuple[list[tuple[bytes, bool]], Counter]:
    """Frame chunks message by message: each with whether it is only a beginning; and what was counted."""
    counts: Counter[str] = Counter()
    framer = Framer(limit, lambda reason: counts.update([reason]))
    messages = []
    for chunk in chunks:
        frames = framer.feed(chunk)
        if frames.block:
            frames = framer.cut(frames.data)
        messages += pairs(frames)
        assert framer.held_bytes <= limit + len(b"9999999 ")
    return messages + (pairs(framer.finish()) if ends else []), counts


def pairs(frames: Frames) -> list[tuple[bytes, bool]]:
    return [(message, index in frames.beginnings) for index, message in enumerate(frames.messages)]


def whole(stream: bytes, limit: int = LIMIT) -> list[bytes]:
    """The messages of a stream in which none is cut."""
    messages, counts = frame([stream], limit)
    assert not counts["cut"]
    return [message for message, _ in messages]


def cut_at(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges) if start < end]


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"<13>a\n<13>b\n", [b"<13>a", b"<13>b"]),
        (b"<13>a\r\n<13>b\r\n", [b"<13>a", b"<13>b"]),
        (b"<13>a\r\r\n", [b"<13>a\r"]),
        (b"<13>a\0<13>b\0", [b"<13>a", b"<13>b"]),
        (b"<13>a\r\0", [b"<13>a\r"]),
        (b"<13>a\0\n<13>b\n", [b"<13>a", b"<13>b"]),
        (b"5 <13>a5 <13>b", [b"<13>a", b"<13>b"]),
        (b"5 <13>a\n5 <13>b\n", [b"<13>a", b"<13>b"]),
        (b"7 <13>a\nb<13>c\n", [b"<13>a\nb", b"<13>c"]),
        (b"6 <13>a\n<13>b\n", [b"<13>a", b"<13>b"]),
        (b"<13>a\n5 <13>b", [b"<13>a", b"<13>b"]),
        (b"\n5 <13>b5 <13>c", [b"<13>b", b"<13>c"]),
        (b"<13>a\n5 <13>b<13>c\n", [b"<13>a", b"<13>b", b"<13>c"]),
        (b"5 of them\n<13>b\n", [b"5 of them", b"<13>b"]),
        (b"05 <13>a\n", [b"05 <13>a"]),
        (b"12345678 <13>a\n", [b"12345678 <13>a"]),
        (b"0 <13>a\n", [b"0 <13>a"]),
        (b"<13>no end", [b"<13>no end"]),
        (b"12", [b"12"]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_cut_into_messages(stream: bytes, messages: list[bytes]) -> None:
    assert messages == whole(stream)
    assert messages == [message for message, _ in frame([bytes([octet]) for octet in stream])[0]]


def test_empty_messages_are_counted() -> None:
    assert frame([b"\n\r\n\0<13>a\n\n"])[1] == Counter(empty=4)
    assert frame([b"<13>a\n", b"\r\n", b"<13>b\n"])[1] == Counter(empty=1)


def test_a_long_line_is_cut_counted_and_the_next_one_is_whole() -> None:
    stream = b"<13>" + b"x" * LIMIT + b"\n<13>next\n"
    expected = [(stream[:LIMIT], True), (b"<13>next", False)]
    for chunks in ([stream], [bytes([octet]) for octet in stream]):
        messages, counts = frame(chunks)
        assert expected == messages
        assert counts == Counter(cut=1)


def test_a_line_of_just_the_limit_is_whole() -> None:
    line = b"x" * LIMIT
    assert [(line, False), (b"y", False)] == frame([line + b"\ny\n"])[0]
    assert [(line, False), (b"y", False)] == frame([line, b"\ny\n"])[0]


def test_a_line_that_never_ends_is_one_message_and_holds_nothing() -> None:
    framer = Framer(LIMIT, lambda reason: None)
    messages = [message for _ in range(50) for message in framer.feed(b"x" * 100).messages]
    assert [b"x" * LIMIT] == messages
    assert framer.held_bytes == 0
    assert framer.feed(b"\nnext\n").block == b"next"


def test_a_counted_message_over_the_limit_is_cut_and_its_rest_skipped() -> None:
    message = b"<13>" + b"x\n" * LIMIT
    stream = b"%d %s5 <13>a" % (len(message), message)
    for chunks in ([stream], [bytes([octet]) for octet in stream], [stream[:100], stream[100:]]):
        messages, counts = frame(chunks)
        assert [(message[:LIMIT], True), (b"<13>a", False)] == messages
        assert counts == Counter(cut=1)


def test_a_counted_message_that_breaks_off_is_a_beginning() -> None:
    messages, counts = frame([b"100 <13>unfinished"])
    assert [(b"<13>unfinished", True)] == messages
    assert counts == Counter(cut=1)


def test_a_line_without_end_is_a_beginning_only_if_we_ended_the_stream() -> None:
    for is_cut in (False, True):
        framer = Framer(LIMIT, lambda reason: None)
        framer.feed(b"<13>a")
        assert [(b"<13>a", is_cut)] == pairs(framer.finish(is_cut=is_cut))


def test_nothing_is_left_of_a_message_that_was_skipped() -> None:
    framer = Framer(LIMIT, lambda reason: None)
    framer.feed(b"x" * 1_000)
    framer.feed(b"x" * 1_000)
    assert framer.finish() == Frames()


@pytest.mark.parametrize("beginning", [b"", b"1000000 "], ids=["line", "counted"])
def test_a_message_that_trickles_in_is_not_looked_at_again_with_every_piece(monkeypatch, beginning: bytes) -> None:
    looked_at = 0
    cut = Framer.cut

    def counting(self: Framer, data: bytes) -> Frames:
        nonlocal looked_at
        looked_at += len(data)
        return cut(self, data)

    monkeypatch.setattr(Framer, "cut", counting)
    message = b"<13>".ljust(1_000_000, b"x")
    stream = beginning + message + b"\n"
    messages = frame([stream[at : at + 100] for at in range(0, len(stream), 100)], 1 << 20)[0]
    assert [(message, False)] == messages
    assert looked_at < 3 * len(stream)


line = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"<13>a", b"12 <13>b", b"7 dwarfs", b"\r", b"", b"<14>1 - - - - - - x", b"caf\xe9", b"1" * 9]),
    st.binary(min_size=LIMIT - 2, max_size=LIMIT + 40),
)
stream = st.lists(
    st.one_of(
        st.tuples(line, st.sampled_from([b"\n", b"\r\n", b"\0", b"\n\n"])).map(b"".join),
        line.map(lambda some: b"%d <%s" % (len(some) + 1, some)),
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(stream, st.lists(st.integers(0, 5_000), max_size=8))
@example(b"<13>a\n5 <13>b\n", [7])
def test_the_borders_of_chunks_change_nothing(data: bytes, places: list[int]) -> None:
    assert frame([data])[0] == frame(cut_at(data, places))[0]
    assert frame([data])[0] == frame([bytes([octet]) for octet in data])[0]


@settings(max_examples=300, deadline=None)
@given(stream, st.lists(st.integers(0, 5_000), max_size=8))
def test_rows_of_a_stream_are_those_of_its_messages(data: bytes, places: list[int]) -> None:
    reading = Reading("windows-1258", Times("UTC"))
    framer = Framer(LIMIT, lambda reason: None)
    order = new_order()
    rows = []
    for chunk in cut_at(data, places):
        frames = framer.feed(chunk)
        rows += read_rows(frames, framer=framer, origins=ORIGINS, reading=reading, order=order)
    rows += read_rows(framer.finish(), framer=framer, origins=ORIGINS, reading=reading, order=order)
    expected = [
        parse_line(message, origin=ORIGINS.of(0), reading=reading, is_cut=is_cut)
        for message, is_cut in frame([data])[0]
    ]
    assert expected == rows


def test_lines_with_an_octet_counted_message_among_them_keep_their_order() -> None:
    reading = Reading("windows-1258", Times("UTC"))
    framer = Framer(65_536, lambda reason: None)
    data = b"<13>a\n<13>b\n9 <13>c\nddd<13>e\n\n<13>f\n"
    rows = read_rows(framer.feed(data), framer=framer, origins=ORIGINS, reading=reading, order=new_order())
    assert ["a", "b", "c\nddd", "e", "f"] == [SyslogRow(*row).message for row in rows]
