"""Who we are on the wire, and what outlives a connection: the window, how far each lane has left, the counts."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

from agent.buffer import Held
from agent.forward.settings import ForwardSettings
from agent.forward.window import Window
from wire.names import BatchName


class Sender:
    """Who we are on the wire, and what outlives a connection: window, cursors, counts."""

    def __init__(self, agent: str, site: str, *, settings: ForwardSettings, version: str) -> None:
        self.agent = agent
        self.site = site
        self.settings = settings
        self.version = version
        self.window = Window(settings.confirm, limit_bytes=settings.window_bytes)
        self.after = [0, 0, 0]  # the key up to which each lane has left
        self.queues: tuple[deque[Held], ...] = (deque(), deque(), deque())
        self.health: Callable[[], str] = lambda: ""
        self.watchers: dict[BatchName, asyncio.Queue[tuple[str, int]]] = {}
        self.sent_batches = self.sent_bytes = self.sent_rows = self.resent = self.parked = 0
        self.receipted: Counter[str] = Counter()  # rows by stream, since the start
        self.last_receipt_ns: int | None = None
        self.no_subscriber_ns: int | None = None
        self.denied: str | None = None
        self.wake = asyncio.Event()

    def tell(self, name: BatchName, step: str) -> None:
        """Tell whoever watches a batch (`edgepost ping`) how far it is."""
        if name in self.watchers:
            self.watchers[name].put_nowait((step, time.time_ns()))

    def forget(self, keys: set[int]) -> None:
        """Take evicted batches out of the queues."""
        for queue in self.queues:
            kept = [held for held in queue if held.key not in keys]
            queue.clear()
            queue.extend(kept)
