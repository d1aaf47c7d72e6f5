"""The table of families: each has its words, its lines and its signs, and no sign can be slow."""

import re
from pathlib import Path
from re import _constants as op
from re import _parser as parser

import pytest

from collectors.syslog import rfc3164, stamps
from collectors.syslog.explain import explain
from collectors.syslog.families import cisco, events, firewalls, networks, pairs, recognise, servers, table
from collectors.syslog.families.table import FAMILIES, NAMED, NotAsItSeems, find_by_app, find_by_id, sign_of
from collectors.syslog.rows import SyslogRow

TREE = Path(__file__).resolve().parents[3]
TESTDATA = TREE / "tests" / "collectors" / "testdata" / "syslog"
RECEIVED = 1_795_485_600_000_000_000  # 2026-11-24T02:00:00Z
MODULES = (rfc3164, stamps, cisco, events, firewalls, networks, pairs, recognise, servers, table)
PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}


def parse(line: str) -> SyslogRow:
    (one,) = explain([line.encode()], received_ns=RECEIVED)
    return SyslogRow(*one.row)


@pytest.mark.parametrize("name", NAMED)
def test_each_family_has_a_case_folder_with_lines_of_it(name: str) -> None:
    lines = (TESTDATA / name / "input.log").read_text(encoding="utf-8").splitlines()
    assert name in {parse(line).family for line in lines}


def test_the_page_says_of_each_family_what_the_program_says() -> None:
    page = (TREE / "docs" / "collectors" / "syslog.md").read_text(encoding="utf-8")
    section = page.partition("\n## Families\n")[2].partition("\n## ")[0]
    rows = [
        tuple(cell.replace("`", "").strip() for cell in line.strip("|").split("|"))
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    said = [row for row in rows if len(row) == 4]  # the other table there is of parameters
    assert sorted((each.name, each.devices, each.sign, each.gives) for each in NAMED.values()) == sorted(said)


def test_each_family_says_in_words_how_it_is_recognised() -> None:
    (one,) = explain([b"<166>%ASA-6-302013: Built"], received_ns=RECEIVED)
    assert f"family asa: {NAMED['asa'].sign}" in one.why
    assert f"read beyond the header: {NAMED['asa'].gives}" in one.why
    (one,) = explain([b"<30>system,info router rebooted"], received_ns=RECEIVED)
    assert one.why[0] == "no header of an RFC: the family has its own, or none"


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.message], ids=lambda each: each.name)
def test_the_sign_in_a_message_captures_nothing_and_needs_something(family) -> None:
    pattern = re.compile(family.message, re.ASCII)
    assert (pattern.groups, pattern.match("")) == (0, None)


# --- no sign can be slow: every repeat has an end, or gives nothing back ---


def most(nodes: list) -> int:
    """The highest number of times that anything which can give back is repeated."""
    found = 0
    for code, value in nodes:
        if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
            found = max(found, int(value[1]), most(list(value[2])))
        elif code is op.SUBPATTERN:
            found = max(found, most(list(value[3])))
        elif code is op.BRANCH:
            found = max(found, *(most(list(branch)) for branch in value[1]))
        elif code in {op.ASSERT, op.ASSERT_NOT}:
            found = max(found, most(list(value[1])))
    return found


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_pattern_of_the_slow_path_repeats_without_end(name: str) -> None:
    pattern = PATTERNS[name]
    assert most(list(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))) <= 512


def test_an_endless_repeat_would_be_seen() -> None:
    assert most(list(parser.parse(r"a(?:b|c*)"))) > 512
    assert {"table._MESSAGE", "table._ANY_APP", "stamps._BSD", "cisco._HEAD"} <= set(PATTERNS)


# --- the look-ups ---


@pytest.mark.parametrize(
    ("app", "message", "name"),
    [
        ("%ASA-6-302013", "Built", "asa"),
        ("%SYS-5-CONFIG_I", "Configured", "ios"),
        ("%%01SHELL/5/LOGIN(l)", "x", "huawei"),
        ("Bgp", "%BGP-5-ADJCHANGE: peer", "eos"),
        ("Bgp", "peer", None),
        ("TRAPMGR", "traputil.c(763) 41 %% Link Down", "fastpath"),
        ("rpd", "anything", "junos"),
        ("fpc12", "anything", "junos"),
        ("lldpd", "Event|104|LOG_INFO|", "aoscx"),
        ("lldpd", "anything", None),
        ("php-fpm", "/index.php: Successful login", "pfsense"),
        ("sshd", "Accepted password", None),
        ("", "", None),
    ],
)
def test_an_app_name_is_asked_alone_or_with_the_message(app, message, name) -> None:
    family = find_by_app(app, message)
    assert name == (family.name if family else None)
    sign = sign_of(app)
    assert name == (sign(message) if callable(sign) else sign)


def test_what_only_looks_like_a_tag_is_left_to_the_slow_path() -> None:
    sign = sign_of("Severity")
    assert callable(sign)
    with pytest.raises(NotAsItSeems):
        sign("Informational, Category: Audit, MessageID: USR0030")
    assert sign("high, said somebody") is None


@pytest.mark.parametrize(
    ("sd_id", "name"),
    [
        ("junos@2636.1.1.1.2.129", "junos"),
        ("NXLOG@14506", "windows"),
        ("a@32473", None),
        ("meta", None),
        ("a@", None),
    ],
)
def test_an_enterprise_number_names_the_family(sd_id, name) -> None:
    assert name == find_by_id(sd_id)


# --- what is read beyond the columns is kept ---


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (
            "<189>33: core-1: 000127: *Nov 24 08:15:02: %SYS-5-RESTART: x",
            {
                "meta": {"sequenceId": "000127"},
                "timeQuality": {"isSynced": "0"},
                "header@edgepost": {"sent": "33"},
            },
        ),
        ("<189>Nov 24 08:15:02 slot2/big notice mcpd[1]: x", {"header@edgepost": {"level": "notice", "part": "slot2"}}),
        ("<28>Nov 24 08:15:02 re0-mx-2 rpd[1]: x", {"header@edgepost": {"part": "re0"}}),
        ("<28>Nov 24 08:15:02 relay Nov 24 08:15:01 host app: x", {"header@edgepost": {"relay": "relay"}}),
        ("<28>Nov 24 08:15:02 host Nov 24 08:15:01 host app: x", None),
    ],
)
def test_what_a_header_says_and_no_column_takes_is_structured_data(line, data) -> None:
    assert data == parse(line).structured_data


@pytest.mark.parametrize("tz", ["+9900", "+24:00", "-2400", "+07000", "", "ICT+7", "+\u0660\u066700"])
def test_a_zone_that_does_not_exist_is_the_listeners(tz: str) -> None:
    row = parse(f'<189>date=2026-11-24 time=08:15:02 devname="fw" tz="{tz}" logid="0" type="traffic"')
    assert (row.family, row.flag, row.time) == ("fortigate", None, 1_795_508_102_000_000_000)


def test_a_known_family_is_whole_without_a_time() -> None:
    assert parse("<30>system,info router rebooted").flag is None
    assert parse("<166>%ASA-6-302013: Built").flag is None
    assert parse("<14>CEF:0|a|b|c|d|e|1|x=y").flag is None
    assert parse("<30>rpd[12]: a family by its tag, whose format has a time").flag == "no-time"
