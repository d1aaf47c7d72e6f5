"""Case folders: `input.log`, a message a line, or `input.tcp`, one stream, and the rows in `expected.json`.

After a change that is meant, `EDGEPOST_REWRITE_CASES=1` writes the expected rows anew; read the difference.
"""

import base64
import json
import os
from pathlib import Path

import pytest

from collectors.syslog.connection import read_rows
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.explain import explain
from collectors.syslog.framing import Framer
from collectors.syslog.rows import SyslogRow
from collectors.syslog.slow import Reading
from collectors.syslog.times import Times

FOLDER = Path(__file__).parents[1] / "testdata" / "syslog"
RECEIVED = 1_795_485_600_000_000_000  # 2026-11-24T02:00:00Z


def plain(row: tuple) -> dict:
    """The columns that are not nil, bytes as base64; what the receipt alone decides is left out."""
    values = {key: value for key, value in SyslogRow(*row)._asdict().items() if value is not None}
    if "raw" in values:
        values["raw_b64"] = base64.b64encode(values.pop("raw")).decode()
    return {key: value for key, value in values.items() if key not in {"received", "transport"}}


def rows_of(case: Path) -> list[tuple]:
    if (case / "input.log").exists():
        return [each.row for each in explain([(case / "input.log").read_bytes()], received_ns=RECEIVED)]
    framer = Framer(65_536, lambda reason: None)
    rest = {
        "framer": framer,
        "origins": Origins(RECEIVED, "tcp"),
        "reading": Reading("windows-1258", Times("UTC")),
        "order": new_order(),
    }
    data = (case / "input.tcp").read_bytes()
    rows = [row for start in range(0, len(data), 9) for row in read_rows(framer.feed(data[start : start + 9]), **rest)]
    return rows + read_rows(framer.finish(), **rest)


@pytest.mark.parametrize("case", sorted(FOLDER.iterdir()), ids=lambda case: case.name)
def test_the_rows_of_a_case_are_as_expected(case: Path) -> None:
    actual = [plain(row) for row in rows_of(case)]
    if os.environ.get("EDGEPOST_REWRITE_CASES"):
        (case / "expected.json").write_text(json.dumps(actual, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads((case / "expected.json").read_text(encoding="utf-8")) == actual
