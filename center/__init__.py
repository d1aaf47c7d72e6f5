"""The receiving side: know repeats, commit to a sink, receipt; and the ledger that must close.

| layer   | module        | responsibility                                                              |
|---------|---------------|-----------------------------------------------------------------------------|
| life    | `receive.py`  | settings to a running receiver: folder, brokers in order, socket, SIGTERM   |
| commit  | `commit.py`   | what becomes of each batch of a group; a failing disk is `later` for all    |
| folder  | `folder.py`   | sink, `refused/` and memory in step; `lock.py`: one receiver per folder     |
| sinks   | `sinks/`      | where rows go: NDJSON files, stdout, batches as they came                   |
| refused | `refused.py`  | the bytes of what is not taken, bounded                                     |
| memory  | `memory.py`   | `receive.db`: `names.py` (which batches), `states.py` (what agents told)    |
| ledger  | `ledger.py`   | arrived, declared, refused, waiting, missing; `show.py` for people          |
| socket  | `serve.py`    | the ledger for who asks                                                     |
| command | `cli.py`      | `edgepost-center`; its settings in `settings.py`                            |

What is described for operators stands in `docs/center.md`; the receiving loop itself is `wire/receive.py`.
"""
