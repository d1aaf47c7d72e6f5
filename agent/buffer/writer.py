"""The writer's thread: requests one after the other, each answered on the loop; the keeper does the work.

    loop ──ask──► queue ──► work() on the thread ──► future on the loop
                                └── an error that is no state of the disk ends the thread: `on_ended` carries it

Idle, the thread sleeps in the queue; only while the disk fails does it wake by itself, to try again.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final

from agent.buffer.keeper import Keeper

Request = Callable[[], None]
_END: Final = None


def _nobody(_: Any) -> None:
    """Nobody waits for the result."""


class Writer:
    """One thread, one queue, one keeper."""

    def __init__(self, keeper: Keeper, *, on_done: Request, on_ended: Callable[[BaseException | None], None]) -> None:
        """Take what is called on the thread: `on_done` after each request, `on_ended` with the bug or None."""
        self._keeper = keeper
        self._on_done = on_done
        self._on_ended = on_ended
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="buffer-writer", daemon=True)
        self.pulse_ns = time.monotonic_ns()

    def start(self) -> None:
        """Run the thread."""
        self._thread.start()

    def ask(self, work: Callable[[], Any], post: Callable[[Any], None] = _nobody) -> None:
        """Queue work, from any thread; its result is posted after `on_done`."""

        def request() -> None:
            result = work()
            self._on_done()
            post(result)

        self._requests.put(request)

    def end(self) -> None:
        """End the thread after what is queued."""
        self._requests.put(_END)

    def _run(self) -> None:
        with ExitStack() as stack:
            stack.push(self._carry)
            while True:
                request = self._next()
                if request is _END:
                    return
                request()
                self.pulse_ns = time.monotonic_ns()

    def _next(self) -> Request | None:
        due = self._keeper.due
        if due is None:
            return self._requests.get()
        try:
            return self._requests.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            return self._tick

    def _tick(self) -> None:
        self._keeper.tick()
        self._on_done()

    def _carry(self, _: type[BaseException] | None, bug: BaseException | None, _trace: TracebackType | None) -> bool:
        """Let nothing end in silence: the loop learns why the thread has ended, and ends the process."""
        self._on_ended(bug)
        return True
