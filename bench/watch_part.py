"""Who tells how late lines are: the sink itself, for edgepost a listener beside the receiver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contest import Contestant
from processes import Part
from rig import Edgepost


@contextmanager
def lateness(contestant: Contestant) -> Iterator[Callable[[], dict[str, Any]]]:
    """Give a question whose answer has `late_ms` (median, p99, maximum) since the last time it was asked."""
    if not isinstance(contestant, Edgepost):
        yield contestant.far_end.ask
        return
    part = Part("watch.py", str(contestant.far_end.port))
    try:
        yield part.ask
    finally:
        part.end()
