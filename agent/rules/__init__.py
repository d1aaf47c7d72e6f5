"""Rules at the edge: what is dropped, thinned out, masked or moved to another lane before it is buffered.

    Sink.put ──rows──► Rules.sort ──rows by lane──► Intake.take (encode, buffer)
                           └─dropped─► account: dropped:rule-NAME

| file            | responsibility                                                                   |
|-----------------|----------------------------------------------------------------------------------|
| `settings.py`   | `Rule`: what may stand in the YAML, and every mistake in it at its place         |
| `streams.py`    | which streams and columns can be named                                           |
| `conditions.py` | the text of a condition to a matcher                                             |
| `matchers.py`   | a column's values to one truth each                                              |
| `regex.py`      | regular expressions in linear time, over many texts at once                      |
| `chunk.py`      | rows on their way: which go on, in which lane, which have ended                  |
| `actions.py`    | drop, keep, lane, sample, limit                                                  |
| `masks.py`      | mask                                                                             |
| `apply.py`      | `Rules`: a chunk through all rules, counted                                      |
| `declare.py`    | `Filtered`: what was dropped, told to the center                                 |
| `describe.py`   | rules in words and warnings, for `edgepost check`                                |
| `explain.py`    | which rules hit a row, for `edgepost parse`                                      |

A newcomer goes `settings.py`, `apply.py`, `conditions.py`. What operators read: `docs/rules.md`.
"""

from agent.rules.apply import REASON, Hit, Rules, Sorted
from agent.rules.declare import Filtered
from agent.rules.settings import Rule

__all__ = ["REASON", "Filtered", "Hit", "Rule", "Rules", "Sorted"]
