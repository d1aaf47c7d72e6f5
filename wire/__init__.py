"""What both ends must agree on: batch format, names, topics, receipts, the MQTT client, the receiving loop.

| layer      | module          | responsibility                                                        |
|------------|-----------------|-----------------------------------------------------------------------|
| names      | `names.py`      | who and which batch: agent, site, stream, lane, (epoch, lane, seq)    |
| topics     | `topics.py`     | where on the broker a message travels, and reading a topic back       |
| batch      | `batch.py`      | payload = hop + digest + head + body                                  |
| head       | `head.py`       | whose rows, which batch, which columns; copied for ever               |
| body       | `body.py`       | rows, compressed once; bombs end here                                 |
| decode     | `decode.py`     | one error, MessagePack under limits, values checked one by one        |
| receipts   | `receipts.py`   | the next hop's word, batch by batch                                   |
| declared   | `declared.py`   | losses an agent has declared, for the receiver's ledger               |
| state      | `state.py`      | birth, will and the retained state of a sender                        |
| dial       | `dial.py`       | a broker's settings to a connected socket, or to a remedy in words    |
| client     | `client.py`     | a broker's settings to a client; all that the two ends know of MQTT   |
| connection | `connection.py` | its life: reason codes are errors, acknowledgements ours; `chunks.py` |
| receive    | `receive.py`    | the receiving loop: group, commit, acknowledge, receipt               |
| render     | `render.py`     | rows to JSON by column type alone                                     |
| text       | `text.py`       | what may reach a terminal; times as RFC 3339                          |
| yaml       | `yaml/`         | a YAML file to settings, all mistakes at once                         |
| secret     | `secret.py`     | a value that prints as `***`                                          |
| service    | `service.py`    | systemd notify, journal priorities                                    |

It imports nothing of ours. The format is specified in `docs/wire-format.md`.
"""
