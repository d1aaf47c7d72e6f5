"""What `do: mask` makes of a row: one column changed, and the exact bytes taken away, in which the old text still stood.

A row that a mask rule has hit leaves without `raw`, whether anything was found in it or not: what a wrong encoding or a
broken header hid from the expression stands there too. A stream that has `flag` says `masked` in it.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final

from agent.rules.chunk import Row
from agent.rules.matchers import LONGEST
from agent.rules.regex import Regex, template
from agent.rules.settings import Rule
from collectors.sink import Stream

TextMask = Callable[[str], str | None]
ColumnMask = Callable[[Sequence[Any]], list[Any]]

_BITS: Final = {4: 24, 6: 48}  # of an address that stay: the usual borders of a site
_DEPTH: Final = 8  # of maps in maps; below it nothing stays
TOKEN_BYTES: Final = 8
_KNOWN: Final = 8_192  # texts whose masks are remembered: an address takes 8 µs


def mask_of(rule: Rule, stream: Stream) -> Callable[[Sequence[Row]], list[Row]]:
    """Make the function that masks rows of a stream; a row that stays as it is is the object that it was."""
    names = [name for name, _ in stream.columns]
    assert rule.column is not None
    column, raw, flag = names.index(rule.column), _place(names, "raw"), _place(names, "flag")
    change = _column_mask(rule)

    def changed(row: Row, value: Any) -> Row:
        values = list(row)
        values[column] = value
        if raw is not None:
            values[raw] = None
        if flag not in {None, column}:
            values[flag] = _with_word(row[flag])
        return tuple(values)

    def mask(rows: Sequence[Row]) -> list[Row]:
        new = change([row[column] for row in rows])
        return [
            changed(row, value) if value != row[column] or (raw is not None and row[raw] is not None) else row
            for row, value in zip(rows, new, strict=True)
        ]

    return mask


def _place(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _column_mask(rule: Rule) -> ColumnMask:
    """Make what happens to the values of a column: to all of each, or to what the pattern finds in it."""
    if rule.pattern is None:
        if rule.by == "nothing":
            return lambda values: [None] * len(values)
        whole = _whole(rule)
        return lambda values: [_masked(value, whole) for value in values]
    regex, change = Regex(rule.pattern), _match_mask(rule)

    def within(text: str) -> str:
        return regex.replaced_in([text], change)[0]

    def mask(values: Sequence[Any]) -> list[Any]:
        texts = iter(regex.replaced_in([value for value in values if isinstance(value, str)], change))
        return [next(texts) if isinstance(value, str) else _masked(value, within) for value in values]

    return mask


def _with_word(flag: object) -> str:
    return " ".join(dict.fromkeys([*str(flag or "").split(), "masked"]))


def _masked(value: Any, mask: TextMask, depth: int = 0) -> Any:
    """Mask a text, or every text in a map or list, which is made anew: rows may share it. Bytes do not stay."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict) and depth < _DEPTH:
        return {key: _masked(item, mask, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [_masked(item, mask, depth + 1) for item in value]
    return None if isinstance(value, dict | list | tuple | bytes) else value


def _match_mask(rule: Rule) -> Callable[[Any], str]:
    """Make what stands in the place of a match."""
    if rule.by == "replacement":
        return template(rule.replacement, Regex(str(rule.pattern)))
    if rule.by == "nothing":
        return lambda _: ""
    whole = _whole(rule)

    def change(match: Any) -> str:
        masked = whole(match.group().decode("utf-8", "replace"))
        return rule.replacement if masked is None else masked

    return change


def _whole(rule: Rule) -> TextMask:
    if rule.by == "hash":
        assert rule.secret is not None
        return _hash(rule.secret.reveal())
    if rule.by == "network":
        return _remembered(_network)
    return lambda _: rule.replacement


def _hash(secret: str) -> TextMask:
    """Make a token of a text: 16 hexadecimal digits, equal for equal texts, BLAKE2b keyed by the secret."""
    key = hashlib.blake2b(secret.encode()).digest()
    keyed = hashlib.blake2b(key=key, digest_size=TOKEN_BYTES)

    def token(text: str) -> str:
        state = keyed.copy()
        state.update(text.encode("utf-8", "surrogatepass"))
        return state.hexdigest()

    return _remembered(token)


def _remembered(mask: TextMask) -> TextMask:
    """Remember what short texts became: addresses and names come again and again."""
    known = lru_cache(_KNOWN)(mask)
    return lambda text: known(text) if len(text) <= LONGEST else mask(text)


def _network(text: str) -> str | None:
    """Give the first address of the network in which an address lies; nil for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(ip_network((address, _BITS[address.version]), strict=False).network_address)
