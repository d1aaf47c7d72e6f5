"""Where on the broker a message travels.

    <root>/v1/up/<site>/<sender>/<stream>    batches, towards the center
    <root>/v1/up/<site>/<sender>/state       birth, will and state of a sender, retained
    <root>/v1/down/<site>/<sender>           receipts for a sender
    <root>/v1/down/_probe/<receiver>         a receiver's letter to itself; `_probe` cannot be a site

The topic names the sender of this hop; the head names the origin.
"""

from typing import Final, NamedTuple

from wire.names import is_name

STATE: Final = "state"


class Up(NamedTuple):
    """A topic towards the center, read back. `stream` is `state` for the state of a sender."""

    site: str
    sender: str
    stream: str


def up(root: str, site: str, *, sender: str, stream: str) -> str:
    """Topic of a sender's batches of one stream."""
    return f"{root}/v1/up/{site}/{sender}/{stream}"


def state(root: str, site: str, sender: str) -> str:
    """Topic of a sender's retained state, its birth and its will."""
    return up(root, site, sender=sender, stream=STATE)


def down(root: str, site: str, sender: str) -> str:
    """Topic on which a sender gets its receipts."""
    return f"{root}/v1/down/{site}/{sender}"


def probe(root: str, receiver: str) -> str:
    """Topic on which a receiver proves to itself that its subscriptions work."""
    return f"{root}/v1/down/_probe/{receiver}"


def all_up(root: str, site: str | None = None) -> str:
    """Filter for everything that travels towards the center, of all sites or of one."""
    return f"{root}/v1/up/{site or '+'}/+/+"


def read_up(root: str, topic: str) -> Up | None:
    """Read a topic towards the center.

    Returns:
        None when it is not one of ours or a level is no name: safe to use in a path and on a screen otherwise.
    """
    prefix = f"{root}/v1/up/"
    levels = topic[len(prefix) :].split("/")
    if not topic.startswith(prefix) or len(levels) != 3 or not all(map(is_name, levels)):
        return None
    return Up(*levels)
