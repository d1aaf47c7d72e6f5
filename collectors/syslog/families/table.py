"""All families, and the look-ups that every line takes.

Fast lines ask `sign_of` once for an app name and remember the answer (`collectors.syslog.dialects`); slow lines ask
`find_by_app` and the others each time. Both read the same table, so they cannot disagree.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from collectors.syslog.families import cameras, cisco, events, firewalls, networks, servers
from collectors.syslog.families.family import Family

FAMILIES: Final[tuple[Family, ...]] = (
    *events.FAMILIES,
    *cisco.FAMILIES,
    *firewalls.FAMILIES,
    *networks.FAMILIES,
    *servers.FAMILIES,
    *cameras.FAMILIES,
)
"""Earlier ones win; a family that has signs of two kinds stands there twice, its words only once."""

NAMED: Final = {family.name: family for family in FAMILIES if family.sign}
"""Each family by its name, with its words."""

Sign = str | Callable[[str], str | None] | None
"""What an app name tells: a family, none, or a question to the message behind it."""


class NotAsItSeems(KeyError):
    """What looks like a tag is the beginning of the message: the line is one for the slow path."""


def _one_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.ASCII)


_NUMBERS: Final = {str(number): family.name for family in FAMILIES for number in family.numbers}
_ANY_APP: Final = _one_of([family.app for family in FAMILIES if family.app])
_BY_APP: Final = [
    (
        family,
        frozenset(family.apps),
        re.compile(family.app or "(?!)", re.ASCII),
        re.compile(family.tagged or "", re.ASCII),
    )
    for family in FAMILIES
    if family.apps or family.app
]
_APPS: Final = frozenset(app for family in FAMILIES for app in family.apps)
_BY_MESSAGE: Final = [family for family in FAMILIES if family.message]
_MESSAGE: Final = re.compile(
    "|".join(f"(?P<f{place}>{family.message})" for place, family in enumerate(_BY_MESSAGE)), re.ASCII
)


@lru_cache(8_192)
def _candidates(app: str) -> tuple[tuple[Family, Callable[[str], object]], ...]:
    """Give the families that an app name may be of, each with the question to the message."""
    if app not in _APPS and not _ANY_APP.fullmatch(app):
        return ()
    return tuple(
        (family, tagged.match) for family, apps, pattern, tagged in _BY_APP if app in apps or pattern.fullmatch(app)
    )


def find_by_app(app: str, message: str) -> Family | None:
    """Give the family that an app name, or it and the message behind it, is a sign of."""
    return next((family for family, fits in _candidates(app) if fits(message)), None)


def sign_of(app: str) -> Sign:
    """Tell what `find_by_app` gives for this app name, whatever message a fast pattern takes."""
    found = [(family, fits) for family, fits in _candidates(app) if not family.is_slow]
    if not found:
        return None
    first = found[0][0]
    if not first.tagged and not first.is_no_tag:
        return first.name
    return partial(_ask, [(fits, None if family.is_no_tag else family.name) for family, fits in found])


def _ask(questions: list[tuple[Callable[[str], object], str | None]], message: str) -> str | None:
    for fits, name in questions:
        if fits(message):
            if name is None:
                raise NotAsItSeems(message)
            return name
    return None


def find_by_id(sd_id: str) -> str | None:
    """Give the family whose enterprise number stands in an SD-ID: `junos@2636.1.1.1.2.129`."""
    return _NUMBERS.get(sd_id.partition("@")[2].partition(".")[0])


def find_by_message(message: str) -> Family | None:
    """Give the family that the beginning of a message without app name is a sign of."""
    match = _MESSAGE.match(message)
    return _BY_MESSAGE[int(match.lastgroup[1:])] if match and match.lastgroup else None
