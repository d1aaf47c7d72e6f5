"""The dialects of what a SOC gets most of: FortiGate, ASA, PAN-OS, and CEF or LEEF of anybody.

Each gives the very rows that the readers in `families/` give, in a tenth of their time.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

from collectors.syslog import patterns
from collectors.syslog.columns import (
    FACILITY,
    Columns,
    Dialect,
    Found,
    Grammar,
    Origins,
    bsd_column,
    iso_column,
    knows_bsd,
    knows_iso,
    knows_sd,
    make_rows,
    nil_column,
    optional_column,
    sd_column,
)
from collectors.syslog.families.cisco import name_mnemonic
from collectors.syslog.families.firewalls import FAR, scale_eventtime
from collectors.syslog.slow import Row
from collectors.syslog.stamps import read_offset
from collectors.syslog.times import Times

_BSD_AT: Final = 11  # the group of `patterns.CEF` that holds the time of RFC 3164


def _build_fortigate(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, message, date, clock, quoted, bare, event, zone, _ = zip(*found, strict=True)
    keys = [f"{day} {hour}" for day, hour in zip(date, clock, strict=True)]
    times.learn_wall(keys)
    columns = Columns(
        time=[_instant(times.wall[key], at, offset) for key, at, offset in zip(keys, event, zone, strict=True)],
        host=quoted if all(quoted) else [one or other for one, other in zip(quoted, bare, strict=True)],
        message=message,
        form="none",
        family=repeat("fortigate"),
    )
    return make_rows(pri, columns, origins)


def _instant(wall: tuple[int, int], event: str, zone: str) -> int:
    """Give what `families.firewalls` reads from date and time (in UTC, in the listener's zone), eventtime and tz."""
    utc, local = wall
    instant = scale_eventtime(event)
    if instant is not None and -FAR <= instant - utc <= FAR:
        return instant
    offset = read_offset(zone) if zone else None
    return local if offset is None else utc - offset


def _knows_fortigate(found: Found, times: Times) -> bool:
    key = f"{found[2]} {found[3]}"
    times.learn_wall((key,))
    return found[0] in FACILITY and key in times.wall


def _build_asa(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, bsd, iso, zone, host, tag, message, _ = zip(*found, strict=True)
    columns = Columns(
        time=bsd_column(times, bsd) if all(bsd) else _asa_times(times, (bsd, iso, zone)),
        host=optional_column(host),
        app=tag,
        message=message,
        form="rfc3164",
        family=map(name_mnemonic, tag),
    )
    return make_rows(pri, columns, origins)


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
    known = knows_bsd(times, found[1]) if found[1] else not found[2] or knows_iso(times, found[2] + found[3])
    return found[0] in FACILITY and known


def _build_panos(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, stamps, host, message, _ = zip(*found, strict=True)
    columns = Columns(
        time=bsd_column(times, stamps), host=host, message=message, form="rfc3164", family=repeat("panos")
    )
    return make_rows(pri, columns, origins)


def _knows_panos(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_bsd(times, found[1])


def _build_event_rfc5424(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, seconds, milli, micro, zone, host, app, proc, msg, sd, message, *_ = zip(*found, strict=True)
    columns = Columns(
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
    return make_rows(pri, columns, origins)


def _knows_event_rfc5424(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_iso(times, found[1] + found[4]) and knows_sd(found[9])


def _build_event_rfc3164(found: Sequence[Found], origins: Origins, times: Times) -> Iterable[Row]:
    pri, *_, stamps, host, tag, pid, message, _ = zip(*found, strict=True)
    columns = Columns(
        time=bsd_column(times, stamps),
        host=host,
        app=optional_column(tag),
        proc=optional_column(pid),
        message=message,
        form="rfc3164",
        family=_event_families(message),
    )
    return make_rows(pri, columns, origins)


def _knows_event_rfc3164(found: Found, times: Times) -> bool:
    return found[0] in FACILITY and knows_bsd(times, found[_BSD_AT])


def _event_families(messages: Sequence[str]) -> list[str]:
    return ["cef" if message[0] == "C" else "leef" for message in messages]


FORTIGATE: Final = Grammar(patterns.FORTIGATE, (Dialect(1, _build_fortigate, _knows_fortigate),))
ASA: Final = Grammar(patterns.ASA, (Dialect(5, _build_asa, _knows_asa),))
PANOS: Final = Grammar(patterns.PANOS, (Dialect(1, _build_panos, _knows_panos),))
CEF: Final = Grammar(
    patterns.CEF,
    (
        Dialect(1, _build_event_rfc5424, _knows_event_rfc5424),
        Dialect(_BSD_AT, _build_event_rfc3164, _knows_event_rfc3164),
    ),
)
