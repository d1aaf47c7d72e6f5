"""The plot of docs/performance.md: SVG written by hand, bars side by side for each contestant.

Three panels: CPU an event, memory, bytes an event. Within a panel a group is one number of one case.
"""

from html import escape
from typing import NamedTuple

from results import Run, medians
from table import number

_COLOURS = ("#0b6e4f", "#c0562f", "#e2a06f", "#3d5a99", "#8ea8d8", "#777777")
_WIDTH, _PANEL, _LABEL, _BAR, _GAP, _TOP = 1080, 350, 118, 11, 14, 70
_FONT = 'font-family="system-ui, sans-serif"'


class Group(NamedTuple):
    """Bars that stand together: a number of a case."""

    title: str
    case: str
    key: str


PANELS: dict[str, tuple[Group, ...]] = {
    "CPU, µs an event": (
        Group("TCP, at most", "tcp-max", "cpu us"),
        Group("5,000/s", "steady-5000", "cpu us"),
        Group("firewalls", "firewalls", "cpu us"),
        Group("taking in, outage", "catch-up", "fill us"),
        Group("catching up", "catch-up", "drain us"),
    ),
    "memory, MB (PSS, highest)": (
        Group("TCP, at most", "tcp-max", "pss MB"),
        Group("5,000/s", "steady-5000", "pss MB"),
        Group("outage, waiting", "catch-up", "waiting pss MB"),
        Group("catching up", "catch-up", "drain pss MB"),
        Group("idle", "idle", "idle pss MB"),
    ),
    "bytes an event": (
        Group("on the wire", "tcp-max", "wire B"),
        Group("held, outage", "catch-up", "held B"),
        Group("to disk, 5,000/s", "medium", "medium B at 5000/s"),
        Group("to disk, 50,000/s", "medium", "medium B at 50000/s"),
    ),
}


def _text(x: float, y: float, text: str, *, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'


def _values(run: Run, group: Group) -> list[tuple[str, float]]:
    rounds = run["cases"].get(group.case, {})
    found = [(name, medians(some).get(group.key)) for name, some in rounds.items()]
    return [(name, float(value)) for name, value in found if isinstance(value, int | float)]


def _panel(run: Run, groups: tuple[Group, ...], *, x: float, colours: dict[str, str]) -> tuple[list[str], float]:
    """Draw the groups of a panel; give its elements and where it ends."""
    most = max((value for group in groups for _, value in _values(run, group)), default=1.0) or 1.0
    parts, y, width = [], float(_TOP), _PANEL - _LABEL - 60
    for group in groups:
        parts.append(_text(x + _LABEL - 6, y + _BAR, group.title, style='text-anchor="end"'))
        for name, value in _values(run, group):
            length = max(1.0, width * value / most)
            parts.append(
                f'<rect x="{x + _LABEL:.0f}" y="{y:.0f}" width="{length:.1f}" height="{_BAR - 2}" '
                f'fill="{colours[name]}"><title>{escape(f"{name}: {number(value)}")}</title></rect>'
            )
            parts.append(_text(x + _LABEL + length + 4, y + _BAR - 2, number(value), style='font-size="10"'))
            y += _BAR
        y += _GAP
    return parts, y


def plot(run: Run) -> str:
    """Give the SVG."""
    colours = dict(zip(run["promises"], _COLOURS, strict=False))
    parts, bottom = [], 0.0
    for n, (title, groups) in enumerate(PANELS.items()):
        x = n * (_WIDTH / len(PANELS))
        parts.append(_text(x + _LABEL, _TOP - 14, title, style='font-weight="bold"'))
        some, end = _panel(run, groups, x=x, colours=colours)
        parts += some
        bottom = max(bottom, end)
    for n, (name, colour) in enumerate(colours.items()):
        x = 20 + n * 170
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>' + _text(x + 18, 24, name))
    where = f"{run['at']}, commit {run['commit']}, less is better everywhere; an event is 150 to 250 bytes, in firewalls 440"
    parts.append(_text(20, bottom + 8, where, style='font-size="10" fill="#555555"'))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 18:.0f}" {_FONT} font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
