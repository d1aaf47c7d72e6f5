"""The table of faults: each test of survival puts one row, and prints it.

With EDGEPOST_RELIABILITY=FILE the row is put into that file: into the table between the two marks of
`docs/reliability.md` if they are there, else into a file of its own. A row replaces the one of the same fault.
"""

import os
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_COLUMNS = (
    "fault",
    "faults",
    "sent",
    "delivered",
    "twice",
    "lost unread",
    "agent: received = confirmed + held + dropped",
    "center: committed",
    "ledger",
)
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---|---:|---:|---:|---:|---:|---|---:|---|")


@dataclass(frozen=True)
class Survived:
    """One fault, and what became of the lines.

    Attributes:
        lost_unread: lines that no agent had committed when it was killed: at most one commit interval each time.
        account: of the agent, rows by what became of them.
    """

    fault: str
    faults: int
    sent: int
    delivered: int
    twice: int
    lost_unread: int
    account: dict[str, int]
    committed: int
    ledger: str

    def line(self) -> str:
        dropped = sum(rows for what, rows in self.account.items() if what.startswith("dropped"))
        received, confirmed = self.account.get("received", 0), self.account.get("confirmed", 0)
        sum_up = f"{received:,} = {confirmed:,} + {received - confirmed - dropped:,} + {dropped:,}"
        numbers = f"{self.faults:,} | {self.sent:,} | {self.delivered:,} | {self.twice:,} | {self.lost_unread:,}"
        return f"| {self.fault} | {numbers} | {sum_up} | {self.committed:,} | {self.ledger} |"


def record(row: Survived) -> None:
    """Print the row, and put it into the table if a file for it is named."""
    print(row.line())
    name = os.environ.get("EDGEPOST_RELIABILITY")
    if not name:
        return
    file = Path(name)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if BEGIN not in text:
        text = f"{text}{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    kept = [line for line in table.strip().splitlines()[2:] if not line.startswith(f"| {row.fault} |")]
    file.write_text(before + "\n".join((BEGIN, *_HEAD, *kept, row.line(), END)) + after, encoding="utf-8")
