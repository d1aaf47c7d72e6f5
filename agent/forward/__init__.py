"""Forward: from the buffer to the next hop, until its receipt ends our custody.

| file          | responsibility                                                                       |
|---------------|--------------------------------------------------------------------------------------|
| `window.py`   | what is in flight, what a receipt means, when to send again: pure, no clock, no I/O  |
| `lanes.py`    | which lane goes next: urgent first, normal and bulk keep a tenth of the bytes each   |
| `origins.py`  | whose batches these are, and whether the next hop takes them from us: pure as well   |
| `sender.py`   | what outlives a connection: window, cursors, counts, how a flight ends               |
| `publish.py`  | flights onto the wire of one connection, and what the broker says to each            |
| `trials.py`   | what failed before is tried again, one batch at a time                               |
| `carry.py`    | one connection's life: birth, sending, receipts, state                               |
| `forward.py`  | brokers in order, back-off, what status shows                                        |
| `settings.py` | its part of the YAML                                                                 |

A PUBACK is not custody: mosquitto answers one for a message that it throws away. Only a receipt ends it, from every
group named in `confirm`, or a PUBACK with success where `confirm` names `broker`.
"""

from agent.forward.forward import Forward
from agent.forward.settings import ForwardSettings

__all__ = ["Forward", "ForwardSettings"]
