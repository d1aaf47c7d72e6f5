"""Samples of others' test suites and of real devices, where the folder is at hand."""

import base64
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.syslog.connection import read_rows
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.explain import explain
from collectors.syslog.framing import Framer
from collectors.syslog.rows import SyslogRow
from collectors.syslog.slow import Reading
from collectors.syslog.times import Times

FOLDER = Path(os.environ.get("EDGEPOST_SAMPLES", "/nonexistent")) / "syslog"
YEAR_2020 = 1_580_515_200_000_000_000  # 2020-02-01: samples that assert a year were written then
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="EDGEPOST_SAMPLES names no folder of samples")

COLUMNS = {"appname": "app_name", "procid": "proc_id", "msgid": "msg_id"} | {
    name: name for name in ("facility", "severity", "hostname", "structured_data", "message")
}
EMPTY = ("", {}, [], "-", None)


def samples(name: str, tier: str | None = None) -> list[dict]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() if FOLDER.is_dir() else []
    found = [json.loads(line) for line in lines]
    return [each for each in found if (tier is None or each.get("tier") == tier) and raw(each).strip()]


def raw(sample: dict) -> bytes:
    return (
        base64.b64decode(sample["raw_b64"]) if "raw_b64" in sample else sample["raw"].encode("utf-8", "surrogateescape")
    )


def parse(line: bytes) -> SyslogRow:
    (one,) = explain([line.replace(b"\n", b" ")], received_ns=YEAR_2020)
    return SyslogRow(*one.row)


def differences(row: SyslogRow, expected: dict) -> dict[str, tuple]:
    """The asserted fields that the row has otherwise."""
    found = {}
    for key, value in expected.items():
        ours = getattr(row, COLUMNS[key]) if key in COLUMNS else None
        if key == "message":
            if isinstance(value, dict):
                continue  # bytes: which text they become is ours to decide
            if bare(value) != bare(ours):
                found[key] = (value, ours)
        elif key in COLUMNS:
            if value is None and key in {"facility", "severity"}:
                continue  # no PRI is user.notice
            if nil(value) != nil(ours) and str(value) != str(ours):
                found[key] = (value, ours)
        elif key == "priority" and value is not None and row.facility * 8 + row.severity != value:
            found[key] = (value, row.facility * 8 + row.severity)
        elif key == "timestamp" and instant(value) != (None if row.time is None else row.time // 1_000_000):
            found[key] = (value, row.time)
        elif key == "timestamp_noyear" and value is not None:
            ours = datetime.fromtimestamp((row.time or 0) / 1e9, UTC).strftime("--%m-%dT%H:%M:%S")
            if value[: len(ours)] != ours:
                found[key] = (value, ours)
    return found


def nil(value: object) -> object:
    return None if value in EMPTY else value


def bare(text: str | None) -> str:
    return (text or "").lstrip("\ufeff").strip()


def instant(text: str | None) -> int | None:
    """Milliseconds."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000 - 0.4995)


@pytest.mark.parametrize(
    "sample", [*samples("rfc5424", "normative"), *samples("rfc3164", "normative")], ids=lambda sample: sample["id"]
)
def test_every_line_that_keeps_the_grammar_is_read_right(sample: dict) -> None:
    row = parse(raw(sample))
    assert differences(row, sample["expected"]) == {}
    assert row.format == sample["kind"]


@pytest.mark.parametrize("name", ["rfc5424", "rfc3164"])
def test_no_line_that_breaks_the_grammar_passes_as_well_formed_and_none_is_lost(name: str) -> None:
    for sample in samples(name, "reject"):
        row = parse(raw(sample))
        assert (row.format, row.flag) != (name, None), sample["id"]
        assert row.raw is not None or row.message, sample["id"]


@pytest.mark.parametrize(
    ("name", "most"), [("rfc5424", 0), ("rfc3164", 2), ("devices-network", 1), ("devices-sc4s", 3)]
)
def test_header_fields_of_deviating_lines_are_no_worse_than_they_were(name: str, most: int) -> None:
    wrong: Counter[str] = Counter()
    for sample in samples(name, "lenient" if name.startswith("rfc") else None):
        wrong.update(differences(parse(raw(sample)), sample["expected"] or {}).keys())
    assert wrong.total() <= most, wrong


@pytest.mark.parametrize("sample", samples("framing"), ids=lambda sample: sample["id"])
def test_the_frames_of_a_stream_are_found_octet_by_octet_too(sample: dict) -> None:
    stream = raw(sample)
    expected = sample["expected"].get("frames_best_effort") or sample["expected"]["frames_strict"]
    for size in (len(stream), 1, 7):
        rows = frames(stream, size)
        assert len(expected) == len(rows)
        for each, row in zip(expected, rows, strict=True):
            known = {key: value for key, value in (each.get("message") or {}).items() if key in COLUMNS}
            if "error" not in each:
                assert differences(row, known) == {}


def frames(stream: bytes, size: int) -> list[SyslogRow]:
    framer = Framer(65_536, lambda reason: None)
    rest = {
        "framer": framer,
        "origins": Origins(YEAR_2020, "tcp"),
        "reading": Reading("windows-1258", Times("UTC")),
        "order": new_order(),
    }
    rows = []
    for start in range(0, len(stream), size):
        rows += read_rows(framer.feed(stream[start : start + size]), **rest)
    rows += read_rows(framer.finish(), **rest)
    return [SyslogRow(*row) for row in rows]
