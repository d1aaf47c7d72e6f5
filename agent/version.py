"""Which edgepost this is."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The version installed, `unknown` in a tree that is not."""
    try:
        return metadata.version("edgepost")
    except metadata.PackageNotFoundError:
        return "unknown"
