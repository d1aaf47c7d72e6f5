"""What the fast patterns find, column by column; a pattern may take more than one dialect.

    [(pri, seconds, ..., message, line), ...] ──zip──► columns ──memos──► columns ──zip──► rows

A memo answers what a pattern cannot decide: whether PRI is at most 191, whether a date exists, whether structured data
is valid. What it does not know raises KeyError before the first row is made; then each line is asked for alone.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from operator import add
from typing import Any, Final, NamedTuple

from collectors.syslog import patterns
from collectors.syslog.slow import Origin, Row
from collectors.syslog.structured_data import read_elements, read_simple
from collectors.syslog.times import MICROS, MILLIS, Times

Found = tuple[str, ...]
"""One line as its pattern cut it: PRI first; the line itself last, and only where the pattern did not take it."""

SD_ENTRIES: Final = 2_048
SD_CHARACTERS: Final = 256  # longer ones hardly repeat, and 2,048 of them would be too much memory

_BSD_AT: Final = 11  # the group of `patterns.RFC` that holds the time of RFC 3164
_FACILITY: Final = {str(pri): pri >> 3 for pri in range(192)}
_SEVERITY: Final = {str(pri): pri & 7 for pri in range(192)}
_NO_FAMILY_FLAG_RAW: Final = (repeat(None), repeat(None), repeat(None))
_NO_MSG_ID_SD: Final = (repeat(None), repeat(None))
_sd_memo: dict[str, dict[str, Any] | None] = {"-": None}


class Origins(NamedTuple):
    """Where the lines of a chunk came from: one peer for all (TCP), or one for each line (UDP)."""

    received: int
    transport: str | None
    identity: str | None = None
    peer: str | None = None
    port: int | None = None
    peers: Sequence[str | None] | None = None
    ports: Sequence[int | None] = ()

    def of(self, index: int) -> Origin:
        """The origin of one line."""
        if self.peers is None:
            return Origin(self.received, self.peer, self.port, self.transport, self.identity)
        return Origin(self.received, self.peers[index], self.ports[index], self.transport, self.identity)

    def only(self, selectors: Iterable[Any]) -> "Origins":
        """The origins of the lines whose selector is true."""
        if self.peers is None:
            return self
        chosen = list(map(bool, selectors))
        return self._replace(peers=list(compress(self.peers, chosen)), ports=list(compress(self.ports, chosen)))

    def columns(self) -> tuple[Iterable[Any], ...]:
        """The columns received, peer, port, transport, identity, for `zip`."""
        ends = (repeat(self.peer), repeat(self.port)) if self.peers is None else (self.peers, self.ports)
        return (repeat(self.received), *ends, repeat(self.transport), repeat(self.identity))


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


def new_order() -> list[Grammar]:
    """The grammars in the order for a sender that is not known yet. Another order changes the speed, not the rows."""
    return [
        Grammar(
            patterns.RFC,
            (Dialect(1, _build_rfc5424, _knows_rfc5424), Dialect(_BSD_AT, _build_rfc3164, _knows_rfc3164)),
        ),
        Grammar(patterns.RFC3164_ISO, (Dialect(1, _build_rfc3164_iso, _knows_rfc3164_iso),)),
    ]


def _build_rfc5424(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, app, proc, msg, sd, message, *_ = zip(*found, strict=True)
    return zip(
        _iso_column(times, (seconds, zone, milli, micro)),
        *origins.columns(),
        list(map(_FACILITY.__getitem__, pri)),
        list(map(_SEVERITY.__getitem__, pri)),
        _nil_column(host),
        _nil_column(app),
        _nil_column(proc),
        _nil_column(msg),
        _sd_column(sd),
        message,
        repeat("rfc5424"),
        *_NO_FAMILY_FLAG_RAW,
    )


def _nil_column(texts: Sequence[str]) -> Iterable[str | None]:
    """NILVALUE is nil; most columns hold none, or nothing else."""
    count = texts.count("-")
    if not count:
        return texts
    return repeat(None) if count == len(texts) else [None if each == "-" else each for each in texts]


def _knows_rfc5424(found: Found, times: Times) -> bool:
    return found[0] in _FACILITY and _knows_iso(found, times) and _knows_sd(found[9])


def _build_rfc3164(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, *_, stamps, host, tag, pid, message, _ = zip(*found, strict=True)
    return _rows_rfc3164(_bsd_column(times, stamps), origins, (pri, host, tag, pid, message))


def _knows_rfc3164(found: Found, times: Times) -> bool:
    stamp = found[_BSD_AT]
    times.learn_bsd((stamp,))
    return found[0] in _FACILITY and stamp in times.bsd


def _build_rfc3164_iso(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, tag, pid, message, _ = zip(*found, strict=True)
    return _rows_rfc3164(_iso_column(times, (seconds, zone, milli, micro)), origins, (pri, host, tag, pid, message))


def _knows_rfc3164_iso(found: Found, times: Times) -> bool:
    return found[0] in _FACILITY and _knows_iso(found, times)


def _rows_rfc3164(times: Iterable[int], origins: Origins, columns: tuple[Sequence[str], ...]) -> Iterable[Row]:
    pri, host, tag, pid, message = columns
    return zip(
        times,
        *origins.columns(),
        list(map(_FACILITY.__getitem__, pri)),
        list(map(_SEVERITY.__getitem__, pri)),
        host,
        tag,
        [each or None for each in pid],
        *_NO_MSG_ID_SD,
        message,
        repeat("rfc3164"),
        *_NO_FAMILY_FLAG_RAW,
    )


def _iso_column(times: Times, columns: tuple[Sequence[str], ...]) -> Iterable[int]:
    seconds, zone, milli, micro = columns
    keys = list(map(add, seconds, zone))
    try:
        whole = list(map(times.iso.__getitem__, keys))
    except KeyError:
        times.learn_iso(keys)
        whole = list(map(times.iso.__getitem__, keys))
    return map(add, whole, map(add, map(MILLIS.__getitem__, milli), map(MICROS.__getitem__, micro)))


def _knows_iso(found: Found, times: Times) -> bool:
    key = found[1] + found[4]
    times.learn_iso((key,))
    return key in times.iso


def _bsd_column(times: Times, stamps: Sequence[str]) -> list[int]:
    try:
        return list(map(times.bsd.__getitem__, stamps))
    except KeyError:
        times.learn_bsd(stamps)
        return list(map(times.bsd.__getitem__, stamps))


def _sd_column(texts: Sequence[str]) -> list[dict[str, Any] | None]:
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


def _knows_sd(text: str) -> bool:
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
