"""The dialects of what a SOC gets most of: FortiGate, ASA, PAN-OS, and CEF or LEEF of anybody.

Each gives the very rows that the readers in `families/` give, in a tenth of their time.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from collectors.syslog import patterns
from collectors.syslog.columns import (
    FACILITY,
    NONE,
    Dialect,
    Found,
    Grammar,
    Origins,
    bsd_column,
    family_column,
    iso_column,
    knows_bsd,
    knows_iso,
    knows_sd,
    make_rows,
    nil_column,
    optional_column,
    sd_column,
)
from collectors.syslog.families.firewalls import FAR
from collectors.syslog.slow import Row
from collectors.syslog.stamps import read_offset
from collectors.syslog.times import SECOND, Times

_CUTS: Final = {  # dialect of `patterns.FIREWALL`: where its groups stand
    "fortigate": slice(1, 9),
    "panos": slice(9, 12),
    "event": slice(9, 15),
    "asa": slice(15, 21),
}


def _cut(found: Sequence[Found], dialect: str) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Give PRI and the columns of one dialect."""
    columns = list(zip(*found, strict=True))
    return columns[0], list(columns[_CUTS[dialect]])


def _build_fortigate(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, (message, walls, quoted, bare, *instants) = _cut(found, "fortigate")
    early, early_zone, late, late_zone = instants
    try:
        wall = list(map(times.wall.__getitem__, walls))
    except KeyError:
        times.learn_wall(walls)
        wall = list(map(times.wall.__getitem__, walls))
    return make_rows(
        pri,
        origins,
        time=list(map(_instant, wall, _either(early, late), _either(early_zone, late_zone))),
        host=_either(quoted, bare),
        message=message,
        form="none",
        family=repeat("fortigate"),
    )


def _either(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    if all(one):
        return one
    return [this or that for this, that in zip(one, other, strict=True)] if any(one) else other


def _instant(wall: tuple[int, int], event: str, zone: str) -> int:
    """Give what `families.firewalls` reads from date and time (in UTC, in the listener's zone), eventtime and tz."""
    utc, local = wall
    if event:
        instant = int(event) if len(event) == 19 else int(event) * SECOND
        if -FAR <= instant - utc <= FAR:
            return instant
    offset = read_offset(zone) if zone else None
    return local if offset is None else utc - offset


def _knows_fortigate(found: Found, times: Times) -> bool:
    times.learn_wall((found[2],))
    return found[0] in FACILITY and found[2] in times.wall


def _build_asa(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, (bsd, iso, zone, host, tag, message) = _cut(found, "asa")
    return make_rows(
        pri,
        origins,
        time=bsd_column(times, bsd) if all(bsd) else _asa_times(times, (bsd, iso, zone)),
        host=optional_column(host),
        app=tag,
        message=message,
        form="rfc3164",
        family=family_column(tag, message) or NONE,
    )


def _asa_times(times: Times, columns: tuple[Sequence[str], ...]) -> list[int | None]:
    """Times where some lines have another kind than others, or none at all."""
    bsd, iso, zone = columns
    keys = [seconds + name for seconds, name in zip(iso, zone, strict=True)]
    times.learn_bsd(filter(None, bsd))
    times.learn_iso(filter(None, keys))
    return [
        times.bsd[stamp] if stamp else times.iso[key] if key else None for stamp, key in zip(bsd, keys, strict=True)
    ]


def _knows_asa(found: Found, times: Times) -> bool:
    bsd, iso, zone, *_ = found[_CUTS["asa"]]
    known = knows_bsd(times, bsd) if bsd else not iso or knows_iso(times, iso + zone)
    return found[0] in FACILITY and known


def _build_panos(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, (stamps, host, message) = _cut(found, "panos")
    return make_rows(
        pri, origins, time=bsd_column(times, stamps), host=host, message=message, form="rfc3164", family=repeat("panos")
    )


def _build_event(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, (stamps, host, _, tag, pid, message) = _cut(found, "event")
    return make_rows(
        pri,
        origins,
        time=bsd_column(times, stamps),
        host=host,
        app=optional_column(tag),
        proc=optional_column(pid),
        message=message,
        form="rfc3164",
        family=_event_families(message),
    )


def _knows_behind_bsd(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_bsd(times, found[_CUTS["event"].start])


def _build_event_rfc5424(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, app, proc, msg, sd, message, *_ = zip(*found, strict=True)
    return make_rows(
        pri,
        origins,
        time=iso_column(times, (seconds, zone, milli, micro)),
        host=host,
        app=nil_column(app),
        proc=nil_column(proc),
        msg_id=nil_column(msg),
        data=sd_column(sd),
        message=message,
        form="rfc5424",
        family=_event_families(message),
    )


def _knows_event_rfc5424(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_iso(times, found[1] + found[4]) and knows_sd(found[9])


def _event_families(messages: Sequence[str]) -> list[str]:
    return ["cef" if message[0] == "C" else "leef" for message in messages]


FIREWALL: Final = Grammar(
    patterns.FIREWALL,
    (
        Dialect(1, _build_fortigate, _knows_fortigate),
        Dialect(11, _build_panos, _knows_behind_bsd),
        Dialect(14, _build_event, _knows_behind_bsd),
        Dialect(19, _build_asa, _knows_asa),
    ),
)
EVENT_RFC5424: Final = Grammar(patterns.EVENT_RFC5424, (Dialect(1, _build_event_rfc5424, _knows_event_rfc5424),))
