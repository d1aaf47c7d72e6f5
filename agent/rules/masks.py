"""What `do: mask` makes of a row: one column changed, and the exact bytes taken away, in which the old text still stood.

A row that a mask rule has hit leaves without `raw`, whether anything was found in it or not: what a wrong encoding or a
broken header hid from the expression stands there too. A stream that has `flag` says `masked` in it.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, Final

from agent.rules.regex import Regex, template
from agent.rules.settings import Rule
from collectors.sink import Stream

Row = tuple[Any, ...]
TextMask = Callable[[str], str | None]

_BITS: Final = {4: 24, 6: 48}  # of an address that stay: the usual borders of a site
_DEPTH: Final = 8  # of maps in maps; below it nothing stays
TOKEN_BYTES: Final = 8


def row_mask(rule: Rule, stream: Stream) -> Callable[[Row], Row]:
    """Make the function that masks one row of a stream."""
    names = [name for name, _ in stream.columns]
    assert rule.column is not None
    column = names.index(rule.column)
    mask = _nil if rule.by == "nothing" and rule.pattern is None else partial(_masked, mask=_text_mask(rule))
    raw = names.index("raw") if "raw" in names else None
    flag = names.index("flag") if "flag" in names and rule.column != "flag" else None

    def change(row: Row) -> Row:
        values = list(row)
        values[column] = mask(row[column])
        if raw is not None:
            values[raw] = None
        if flag is not None and (values[column] != row[column] or (raw is not None and row[raw] is not None)):
            values[flag] = _with_word(row[flag])
        return tuple(values)

    return change


def _nil(_: object) -> None:
    return None


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


def _text_mask(rule: Rule) -> TextMask:
    """Make what happens to a text: to all of it, or to what the pattern finds."""
    if rule.pattern is None:
        return _whole(rule)
    regex = Regex(rule.pattern)
    if rule.by == "replacement":
        fill = template(rule.replacement, regex)
        return lambda text: regex.replace(text, fill)
    whole, otherwise = _whole(rule), "" if rule.by == "nothing" else rule.replacement

    def change(match: Any) -> str:
        masked = whole(match.group().decode("utf-8", "replace"))
        return otherwise if masked is None else masked

    return lambda text: regex.replace(text, change)


def _whole(rule: Rule) -> TextMask:
    if rule.by == "hash":
        assert rule.secret is not None
        return _hash(rule.secret.reveal())
    if rule.by == "network":
        return _network
    return _nil if rule.by == "nothing" else lambda _: rule.replacement


def _hash(secret: str) -> TextMask:
    """Make a token of a text: 16 hexadecimal digits, equal for equal texts, BLAKE2b keyed by the secret."""
    key = hashlib.blake2b(secret.encode()).digest()
    keyed = hashlib.blake2b(key=key, digest_size=TOKEN_BYTES)

    def token(text: str) -> str:
        state = keyed.copy()
        state.update(text.encode("utf-8", "surrogatepass"))
        return state.hexdigest()

    return token


def _network(text: str) -> str | None:
    """Give the first address of the network in which an address lies; nil for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(ip_network((address, _BITS[address.version]), strict=False).network_address)
