"""Write the seeds of `corpus/`: one small file for each thing that a target knows. What failed once stays beside them.

PYTHONPATH=.:tests python tests/fuzz/make_corpus.py
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from parts.batches import BOOT, EPOCH, HEAD, START_NS, body_of, bomb, frame, make_head, make_payload

from wire.batch import encode_head
from wire.receipts import OUTCOMES, Receipt, encode_receipts
from wire.state import Span, State, encode_state

CORPUS = Path(__file__).with_name("corpus")
LINES = {
    "rfc5424": '<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [a@1 b="c" d="\\"\\]"][e] text',
    "rfc5424-bom": "<34>1 2003-10-11T22:14:15.123456+07:00 host su - ID47 - \ufefftext",
    "rfc5424-nil": "<14>1 - - - - - -",
    "rfc5424-bad-sd": '<14>1 2003-10-11T22:14:15Z h a 1 m [a b="c] text',
    "rfc5424-repeated": '<14>1 2003-10-11T22:14:15Z h a 1 m [a b="1" b="2"][a c="3"] text',
    "rfc5424-version-2": "<14>2 2003-10-11T22:14:15Z h a 1 m - text",
    "rfc3164": "<34>Oct 11 22:14:15 host su[12]: 'su root' failed",
    "rfc3164-day": "<13>Feb  5 17:32:18 10.0.0.99 su: text",
    "rfc3164-leap": "<13>Feb 29 23:59:60 host su: text",
    "rfc3164-year": "<13>Oct 11 2026 22:14:15 host su: text",
    "rfc3164-iso": "<13>2026-11-24T01:59:59.123456+07:00 host su[1]: text",
    "cisco": "<189>23: *Nov 24 01:59:59.123 UTC: %SYS-5-CONFIG_I: text",
    "asa": "<166>Nov 24 2026 01:59:59 asa : %ASA-6-302013: Built outbound TCP connection",
    "fortigate": '<189>date=2026-11-24 time=01:59:59 devname="FG" type="traffic"',
    "cef": "<14>Nov 24 01:59:59 host CEF:0|Vendor|Product|1|100|name|5|src=192.0.2.1",
    "no-pri": "text alone",
    "bad-pri": "<192>Oct 11 22:14:15 host su: text",
    "pri-inside": "<13>Oct 11 22:14:15 host su: <13>1 - - - - - -",
    "utf8": "<13>Oct 11 22:14:15 host su: xin chào \u2028 \x85 \u0663",
}
FRAMED = {
    "lines": b"<13>a\n<13>b\n<13>c\n",
    "carriage-returns": b"<13>a\r\n<13>b\r\r\n\r\n",
    "nul": b"<13>a\0<13>b\r\0\0\n",
    "counted": b"5 <13>a6 <13>bb5 <13>c",
    "counted-with-newlines": b"9 <13>a\nb\n\n5 <13>c\n",
    "mixed": b"<13>a\n5 <13>b<13>c\n12 of them\n5 <13>d",
    "empty": b"\n\n\r\n\0",
    "count-too-large": b"9999999 <13>a",
    "count-of-nothing": b"0 <13>a\n05 <13>b\n12345678 <13>c\n",
    "long-line": b"<13>" + b"x" * 500 + b"\n<13>next\n",
    "long-counted": b"600 <13>" + b"x\n" * 298 + b"5 <13>a",
    "no-end": b"<13>a\n<13>b",
}
YAML = """\
version: 1
include: [base.yaml]
agent: web-1
site: hue
buffer: {limit_bytes: 2147483648}
forward:
  confirm: [center]
  brokers:
    - url: mqtts://broker.example:8883
      password_file: secret
collectors:
  - collector: syslog
    name: firewalls
    listeners:
      - bind: "udp://[::]:514"
        zone: Asia/Ho_Chi_Minh
    lanes: {debug: bulk}
"""
STATE = State(True, EPOCH, 3, "0.1", "healthy", (Span(EPOCH, 1, 4, 9),), {"syslog": 12}, START_NS)
ROWS = [[START_NS, 1, "text", b"raw", {"a": [1, {"b": None}]}, [1.5, True, []]], [None] * 6]


def framing() -> dict[str, bytes]:
    found = {}
    for name, stream in FRAMED.items():
        found[name] = b"\0" + stream
        found[f"{name}-in-pieces"] = bytes((4, 20, 90, 130, 200)) + stream
    return found


def parsing() -> dict[str, bytes]:
    found = {name: b"\0" + line.encode() for name, line in LINES.items()}
    found["all"] = b"\0" + "\n".join(LINES.values()).encode()
    found["all-as-datagrams"] = b"\xff" + found["all"][1:]
    found["not-utf8"] = b"\0<13>Oct 11 22:14:15 h\xe9 su: caf\xe9\n" + found["rfc5424"][1:]
    return found


def wire() -> dict[str, bytes]:
    head, body = encode_head(HEAD), body_of([[START_NS, START_NS, "text"]])
    wide = encode_head(make_head(columns=tuple((f"c{n}", kind) for n, kind in enumerate(("bytes", "map", "list")))))
    receipts = [Receipt(HEAD.name, bytes(16), outcome, "conflict") for outcome in sorted(OUTCOMES)]
    return {
        "payload": b"\0" + make_payload(body=body),
        "payload-bomb": b"\0" + make_payload(body=bomb(size=17 << 20)),
        "payload-of-nothing": b"\0\x95\x01\x80\xc4\x10" + bytes(16) + b"\xc4\0\xc4\0",
        "head": b"\1" + head,
        "head-wide": b"\1" + wide,
        "head-cut": b"\1" + head[:-5],
        "rows": b"\2\2" + msgspec.msgpack.encode(ROWS)[1:],
        "rows-nan": b"\2\1\x96" + b"\xc0" * 5 + b"\x92\xcb\xff\xff" + bytes(6) + b"\xcb\x7f\xf0" + bytes(6),
        "rows-nested": b"\2\1\x96" + b"\xc0" * 5 + b"\x91" * 17 + b"\xc0",
        "rows-promised": b"\2\1\x96" + b"\xdc\x27\x10" * 50,
        "zstd": b"\3" + body,
        "zstd-bomb": b"\3" + bomb(size=17 << 20),
        "zstd-two-frames": b"\3" + frame(b"\x91\x93\xc0\xc0\xc0") * 2,
        "receipts": b"\4" + encode_receipts("center", receipts),
        "receipts-none": b"\4" + encode_receipts("center", []),
        "state": b"\5" + encode_state(STATE),
        "state-offline": b"\5" + encode_state(State(False, BOOT, 1)),
    }


def yaml() -> dict[str, bytes]:
    found = {
        "whole": YAML.encode(),
        "crlf": YAML.replace("\n", "\r\n").encode(),
        "bom": b"\xef\xbb\xbf" + YAML.encode(),
    }
    found["utf16"] = YAML.encode("utf-16")
    for name, text in {
        "tab": "version: 1\nforward:\n\tbrokers: []\n",
        "anchor": "a: &x 1\nb: *x\nc: {<<: *x}\n",
        "tag": "a: !!python/object:os.system x\n",
        "documents": "version: 1\n---\nversion: 1\n",
        "twice": "version: 1\nversion: 1\n",
        "deep": "[" * 40,
        "block": "agent: |\n  a\n  b\nsite: >-\n  c\n",
        "environment": "agent: ${HOME}\nsite: $${HOME}${NOPE}\n",
        "key": "? [a]\n: b\n? {c: d}\n",
        "numbers": "version: 0x1\nbuffer: {limit_bytes: 2GiB, keep_free_percent: 1e9}\n",
        "no-yaml": "agent: 'a\nsite: \"b\n",
        "self": "include: [agent.yaml]\n",
    }.items():
        found[name] = text.encode()
    return found


def main(corpora: Mapping[str, Mapping[str, bytes]]) -> None:
    for target, seeds in corpora.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (CORPUS / target / name).write_bytes(data)


if __name__ == "__main__":
    main({"framing": framing(), "parsing": parsing(), "wire": wire(), "yaml": yaml()})
