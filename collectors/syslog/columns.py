"""What all dialects are made of: the origins of lines, and the memos that turn columns of text into columns of values.

A memo answers what a pattern cannot decide: whether PRI is at most 191, whether a date exists, whether structured data
is valid, which family an app name is of. What it does not know raises KeyError before the first row is made; then each
line is asked for alone (`fast.py`).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from operator import add
from typing import Any, Final, NamedTuple

from collectors.syslog.families.recognise import ask_untagged
from collectors.syslog.families.table import Sign, find_by_id, sign_of
from collectors.syslog.slow import Origin, Row
from collectors.syslog.structured_data import read_elements, read_simple
from collectors.syslog.times import MICROS, MILLIS, Times

Found = tuple[str, ...]
"""One line as its pattern cut it: PRI first; the line itself last, and only where the pattern did not take it."""

SD_ENTRIES: Final = 2_048
SD_CHARACTERS: Final = 256  # longer ones hardly repeat, and 2,048 of them would be too much memory
SIGN_ENTRIES: Final = 8_192

NONE: Final = repeat(None)
"""A column of nothing."""

FACILITY: Final = {str(pri): pri >> 3 for pri in range(192)}
SEVERITY: Final = {str(pri): pri & 7 for pri in range(192)}
_sd_memo: dict[str, dict[str, Any] | None] = {"-": None}
_signs: dict[str, Sign] = {"-": ask_untagged}


class Origins(NamedTuple):
    """Where the lines of a chunk came from: one peer for all (TCP), or one for each line (UDP, or a Unix socket)."""

    received: int
    transport: str | None
    identity: str | None = None
    peer: str | None = None
    port: int | None = None
    peers: Sequence[str | None] | None = None
    ports: Sequence[int | None] = ()
    identities: Sequence[str | None] = ()

    def of(self, index: int) -> Origin:
        """The origin of one line."""
        if self.peers is None:
            return Origin(self.received, self.peer, self.port, self.transport, self.identity)
        identity = self.identities[index] if self.identities else self.identity
        return Origin(self.received, self.peers[index], self.ports[index], self.transport, identity)

    def only(self, selectors: Iterable[Any]) -> "Origins":
        """The origins of the lines whose selector is true."""
        if self.peers is None:
            return self
        chosen = list(map(bool, selectors))
        return self._replace(
            peers=list(compress(self.peers, chosen)),
            ports=list(compress(self.ports, chosen)),
            identities=list(compress(self.identities, chosen)),
        )

    def columns(self) -> tuple[Iterable[Any], ...]:
        """The columns received, peer, port, transport, identity, for `zip`."""
        ends = (repeat(self.peer), repeat(self.port)) if self.peers is None else (self.peers, self.ports)
        identity = self.identities or repeat(self.identity)
        return (repeat(self.received), *ends, repeat(self.transport), identity)


class Dialect(NamedTuple):
    """The rows of some lines that a pattern took.

    Attributes:
        mark: index of a group that is empty in the lines of all other dialects.
        build: rows of its lines, in order; KeyError where a memo does not know a value.
        is_known: whether it can vouch for one line (asked after a KeyError only).
    """

    mark: int
    build: Callable[[Sequence[Found], Origins, Times], Iterable[Row]]
    is_known: Callable[[Found, Times], bool]


class Grammar(NamedTuple):
    """A pattern and the dialects of the lines that it takes."""

    pattern: Any
    dialects: tuple[Dialect, ...]


def make_rows(
    pri: Sequence[str],
    origins: Origins,
    *,
    time: Iterable[int | None],
    host: Iterable[str | None],
    message: Iterable[str],
    form: str,
    family: Iterable[str | None] = NONE,
    app: Iterable[str | None] = NONE,
    proc: Iterable[str | None] = NONE,
    msg_id: Iterable[str | None] = NONE,
    data: Iterable[dict[str, Any] | None] = NONE,
) -> Iterable[Row]:
    """Rows of unflagged lines; KeyError, before the first row, where PRI is above 191."""
    return zip(
        time,
        *origins.columns(),
        list(map(FACILITY.__getitem__, pri)),
        map(SEVERITY.__getitem__, pri),
        host,
        app,
        proc,
        msg_id,
        data,
        message,
        repeat(form),
        family,
        NONE,
        NONE,
    )


def nil_column(texts: Sequence[str]) -> Iterable[str | None]:
    """NILVALUE is nil; most columns hold none, or nothing else."""
    count = texts.count("-")
    if not count:
        return texts
    return repeat(None) if count == len(texts) else [None if each == "-" else each for each in texts]


def optional_column(texts: Sequence[str]) -> Iterable[str | None]:
    """What a pattern did not find is nil; most columns hold nothing of it."""
    return texts if all(texts) else [each or None for each in texts]


def family_column(apps: Sequence[str], messages: Sequence[str]) -> list[str | None] | None:
    """The families by app name ("-" if there is none), None if no app is a sign; KeyError if only the slow path can tell.

    25 ns a line while no app of a chunk is the sign of a family.
    """
    try:
        if not any(map(_signs.__getitem__, apps)):
            return None
        signs = list(map(_signs.__getitem__, apps))
    except KeyError:
        _learn_signs(apps)
        signs = list(map(_signs.__getitem__, apps))
    return [sign(text) if callable(sign) else sign for sign, text in zip(signs, messages, strict=True)]


def add_by_data(
    families: list[str | None] | None, texts: Sequence[str], data: Iterable[dict[str, Any] | None]
) -> list[str | None] | None:
    """Where the app is no sign, the first SD-ID is asked; 10 ns a line while none has an enterprise number."""
    if "@" not in "".join(texts):
        return families
    families = families or [None] * len(texts)
    return [
        family or (find_by_id(next(iter(each))) if each else None) for family, each in zip(families, data, strict=True)
    ]


def knows_family(app: str, message: str) -> bool:
    """Whether `family_column` can tell."""
    try:
        family_column((app,), (message,))
    except KeyError:
        return False
    return True


def _learn_signs(apps: Sequence[str]) -> None:
    missing = set(apps) - _signs.keys()
    if len(_signs) + len(missing) > SIGN_ENTRIES:
        _signs.clear()
        _signs["-"] = ask_untagged
        missing = set(apps) - _signs.keys()
    _signs.update((app, sign_of(app)) for app in missing)


def iso_column(times: Times, columns: tuple[Sequence[str], ...]) -> Iterable[int]:
    """Times of RFC 3339 from seconds, zone, milliseconds and microseconds."""
    seconds, zone, milli, micro = columns
    keys = list(map(add, seconds, zone))
    try:
        whole = list(map(times.iso.__getitem__, keys))
    except KeyError:
        times.learn_iso(keys)
        whole = list(map(times.iso.__getitem__, keys))
    return map(add, whole, map(add, map(MILLIS.__getitem__, milli), map(MICROS.__getitem__, micro)))


def knows_iso(times: Times, key: str) -> bool:
    """Whether `iso_column` can tell the time of these seconds and this zone."""
    times.learn_iso((key,))
    return key in times.iso


def bsd_column(times: Times, stamps: Sequence[str]) -> list[int]:
    """Times of RFC 3164, with a year inside or without."""
    try:
        return list(map(times.bsd.__getitem__, stamps))
    except KeyError:
        times.learn_bsd(stamps)
        return list(map(times.bsd.__getitem__, stamps))


def knows_bsd(times: Times, stamp: str) -> bool:
    """Whether `bsd_column` can tell this time."""
    times.learn_bsd((stamp,))
    return stamp in times.bsd


def sd_column(texts: Sequence[str]) -> list[dict[str, Any] | None]:
    """Structured data; KeyError unless all of it is valid and no id stands twice in a line."""
    try:
        return list(map(_sd_memo.__getitem__, texts))
    except KeyError:
        return _read_many_sd(texts)


def _read_many_sd(texts: Sequence[str]) -> list[dict[str, Any] | None]:
    each = list(set(texts) - {"-"})
    known = dict(zip(each, read_simple(each), strict=True))
    for text in [text for text, data in known.items() if data is None]:
        known[text] = _read_sd(text)
    known["-"] = None
    return list(map(known.__getitem__, texts))


def knows_sd(text: str) -> bool:
    """Whether `sd_column` can tell it."""
    try:
        _read_sd(text)
    except KeyError:
        return False
    return True


def _read_sd(text: str) -> dict[str, Any] | None:
    """Read structured data, by memo where it is short; KeyError where it earns a flag: the slow path says which."""
    if text in _sd_memo:
        return _sd_memo[text]
    elements = read_elements(text)
    if elements is None or elements.end != len(text) or elements.is_repeated or elements.is_cut:
        raise KeyError(text)
    if len(text) <= SD_CHARACTERS:
        if len(_sd_memo) >= SD_ENTRIES:
            _sd_memo.clear()
            _sd_memo["-"] = None
        _sd_memo[text] = elements.data
    return elements.data
