"""Where a message travels on the broker, and reading a topic back.

    <root>/v1/up/<site>/<sender>/<stream>    batches of one stream
    <root>/v1/up/<site>/<sender>/state       birth, will and state, retained
    <root>/v1/down/<site>/<sender>           receipts for that sender
    <root>/v1/down/_probe/<receiver>         a receiver's proof that its subscription works

A topic names the sender of this hop; the head of a batch names its origin (`docs/wire-format.md`, section "Topics").
"""

from typing import Final, NamedTuple

from wire.names import is_name

STATE: Final = "state"
_UP_LEVELS: Final = 5  # v1, up, site, sender, stream


class Up(NamedTuple):
    """A topic on the way to the center, read back. `stream` is `state` for state messages."""

    site: str
    sender: str
    stream: str


def up(root: str, site: str, *, sender: str, stream: str) -> str:
    """Where a sender's batches of one stream go."""
    return f"{root}/v1/up/{site}/{sender}/{stream}"


def state(root: str, site: str, *, sender: str) -> str:
    """Where a sender's state is retained."""
    return f"{root}/v1/up/{site}/{sender}/{STATE}"


def down(root: str, site: str, *, sender: str) -> str:
    """Where a sender reads its receipts."""
    return f"{root}/v1/down/{site}/{sender}"


def probe(root: str, receiver: str) -> str:
    """Where a receiver proves to itself that it is heard."""
    return f"{root}/v1/down/_probe/{receiver}"


def all_up(root: str, site: str | None = None) -> str:
    """The filter under which a receiver hears every sender, of one site or of all."""
    return f"{root}/v1/up/{site or '+'}/+/+"


def read_up(root: str, topic: str) -> Up | None:
    """Read a topic on the way to the center; None if it is not ours or holds a name that is none."""
    prefix = f"{root}/"
    levels = topic.removeprefix(prefix).split("/")
    if not topic.startswith(prefix) or len(levels) != _UP_LEVELS or levels[:2] != ["v1", "up"]:
        return None
    return Up(*levels[2:]) if all(map(is_name, levels[2:])) else None
