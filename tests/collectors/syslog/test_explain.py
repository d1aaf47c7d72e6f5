"""What `edgepost parse` says of a line: its row, its lane, and why."""

from collectors.sink import Lane
from collectors.syslog.config import Lanes, Listener, Syslog
from collectors.syslog.explain import explain
from collectors.syslog.rows import SYSLOG, SyslogRow

RECEIVED = 1_795_485_600_000_000_000  # 2026-11-24T02:00:00Z


def explained(*lines: bytes, **options):
    return list(explain(lines, received_ns=RECEIVED, **options))


def test_one_line_that_is_not_empty_is_one_row_in_order() -> None:
    some = explained(b"<11>Oct 11 22:14:15 h t: a\n", b"\n", b"", b"\r\n", b"b\r\n", b"\0", b"<15>c\0\n")
    assert [SyslogRow(*each.row).message for each in some] == ["a", "b", "c"]
    assert [each.lane for each in some] == [Lane.URGENT, Lane.NORMAL, Lane.BULK]
    assert {each.stream for each in some} == {SYSLOG}


def test_a_message_over_the_limit_is_shown_cut_with_its_flag_as_the_collector_makes_it() -> None:
    config = Syslog(listeners=(Listener(bind="tcp://[::]:0", max_message_bytes=480),))
    long, short = explained(
        b"<13>Oct 11 22:14:15 h t: " + b"x" * 600 + b"\n", b"<13>Oct 11 22:14:15 h t: y\n", config=config
    )
    assert (480, "cut") == (len(SyslogRow(*long.row).raw), SyslogRow(*long.row).flag)
    assert ["cut"] == [reason.partition(":")[0] for reason in long.why if reason.startswith("cut")]
    assert ("y", None) == (SyslogRow(*short.row).message, SyslogRow(*short.row).flag)


def test_octet_counts_and_nul_frame_here_as_they_do_on_a_connection() -> None:
    some = explained(b"9 <13>a\n", b"bcd7 <14>e\n", b"f<15>g\0<13>h\n99 <13>i")
    assert ["a\nbcd", "e\nf", "g", "h", "i"] == [SyslogRow(*each.row).message for each in some]
    assert "cut" in SyslogRow(*some[-1].row).flag


def test_nobody_sent_it() -> None:
    (one,) = explained(b"<13>Oct 11 22:14:15 h t: a")
    row = SyslogRow(*one.row)
    assert (row.received, row.peer, row.port, row.transport) == (RECEIVED, None, None, None)


def test_each_flag_is_said_in_words() -> None:
    (one,) = explained(b"<999>caf\xe9")
    assert SyslogRow(*one.row).flag == "bad-pri no-time encoding"
    assert [reason.partition(":")[0] for reason in one.why[1:4]] == ["bad-pri", "no-time", "encoding"]
    assert one.why[-1] == "severity notice takes the normal lane"


def test_zone_and_encoding_are_the_listeners_unless_given() -> None:
    config = Syslog(listeners=(Listener(bind="udp://[::]:0", zone="Asia/Ho_Chi_Minh", encoding="gb18030"),))
    line = b"<13>Oct 11 22:14:15 h t: \xd6\xd0"
    (ours,) = explained(line, config=config)
    (given,) = explained(line, config=config, zone="UTC", encoding="latin-1")
    assert (SyslogRow(*ours.row).message, SyslogRow(*given.row).message) == ("中", "ÖÐ")
    assert SyslogRow(*given.row).time - SyslogRow(*ours.row).time == 7 * 3_600 * 10**9


def test_the_lanes_are_those_of_the_settings() -> None:
    (one,) = explained(b"<11>Oct 11 22:14:15 h t: a", config=Syslog(lanes=Lanes(err="bulk")))
    assert one.lane is Lane.BULK


def test_lines_of_a_unix_socket_are_read_as_that_listener_reads_them() -> None:
    config = Syslog(listeners=(Listener(bind="unix:///run/edgepost/log"),))
    (explained,) = explain([b"<13>Nov 25 10:00:00 my app[7]: text\n"], config=config)
    row = SyslogRow(*explained.row)
    assert (None, "my app", "7", "text") == (row.hostname, row.app_name, row.proc_id, row.message)
