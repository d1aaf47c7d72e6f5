"""The dialects of the RFCs: what the fast patterns find, column by column; a pattern may take more than one.

    [(pri, seconds, ..., message, line), ...] ──zip──► columns ──memos──► columns ──zip──► rows

The memos are in `columns.py`, the dialects of the costly firewalls in `firewalls.py`.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from collectors.syslog import patterns
from collectors.syslog.columns import (
    FACILITY,
    NONE,
    Dialect,
    Found,
    Grammar,
    Origins,
    add_by_data,
    bsd_column,
    family_column,
    iso_column,
    knows_bsd,
    knows_family,
    knows_iso,
    knows_sd,
    make_rows,
    nil_column,
    optional_column,
    sd_column,
)
from collectors.syslog.firewalls import EVENT_RFC5424, FIREWALL
from collectors.syslog.slow import Row
from collectors.syslog.times import Times

__all__ = ["Dialect", "Found", "Grammar", "Origins", "new_order"]

BSD_AT: Final = 11  # the group of `patterns.RFC` that holds the time of RFC 3164
_RFC3164: Final = tuple(map(itemgetter, (0, *range(BSD_AT, BSD_AT + 5))))  # of 17 groups, 10 ns less than `zip`


def new_order() -> list[Grammar]:
    """The grammars in the order for a sender that is not known yet. Another order changes the speed, not the rows."""
    return [
        Grammar(
            patterns.RFC,
            (Dialect(1, _build_rfc5424, _knows_rfc5424), Dialect(BSD_AT, _build_rfc3164, _knows_rfc3164)),
        ),
        Grammar(patterns.RFC3164_ISO, (Dialect(1, _build_rfc3164_iso, _knows_rfc3164_iso),)),
        FIREWALL,
        EVENT_RFC5424,
    ]


def _build_rfc5424(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, app, proc, msg, sd, message, *_ = zip(*found, strict=True)
    data = sd_column(sd)
    return make_rows(
        pri,
        origins,
        time=iso_column(times, (seconds, zone, milli, micro)),
        host=nil_column(host),
        app=nil_column(app),
        proc=nil_column(proc),
        msg_id=nil_column(msg),
        data=data,
        message=message,
        form="rfc5424",
        family=add_by_data(family_column(app, message), sd, data) or NONE,
    )


def _knows_rfc5424(found: Found, times: Times) -> bool:
    return (
        found[0] in FACILITY
        and knows_iso(times, found[1] + found[4])
        and knows_sd(found[9])
        and knows_family(found[6], found[10])
    )


def _build_rfc3164(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, stamps, host, tag, pid, message = [list(map(get, found)) for get in _RFC3164]
    return _rows_rfc3164(bsd_column(times, stamps), origins, (pri, host, tag, pid, message))


def _knows_rfc3164(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_bsd(times, found[BSD_AT]) and knows_family(found[-4], found[-2])


def _build_rfc3164_iso(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, tag, pid, message, _ = zip(*found, strict=True)
    return _rows_rfc3164(iso_column(times, (seconds, zone, milli, micro)), origins, (pri, host, tag, pid, message))


def _knows_rfc3164_iso(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_iso(times, found[1] + found[4]) and knows_family(found[-4], found[-2])


def _rows_rfc3164(times: Iterable[int], origins: Origins, texts: tuple[Sequence[str], ...]) -> Iterable[Row]:
    pri, host, tag, pid, message = texts
    return make_rows(
        pri,
        origins,
        time=times,
        host=host,
        app=tag,
        proc=optional_column(pid),
        message=message,
        form="rfc3164",
        family=family_column(tag, message) or NONE,
    )
