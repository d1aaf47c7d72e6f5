"""The vectors of the specification and the code agree, and a reader that knows only the libraries reads them too."""

import json
import runpy
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "vectors"


def good(file: str) -> list[Any]:
    cases = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in cases if "value" in case]


def test_the_vectors_are_what_the_code_makes_and_reads() -> None:
    """A difference is a change of the format, or vectors that were not made anew by tests/wire/make_vectors.py."""
    texts = runpy.run_path(str(Path(__file__).with_name("make_vectors.py")))["build"]()
    assert texts == {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}


def test_there_are_good_vectors_and_refused_ones_with_every_reason() -> None:
    every = json.loads((FOLDER / "payload.json").read_text(encoding="utf-8"))
    assert {case["refused"]["reason"] for case in every if "refused" in case} == {"limit", "undecodable", "digest"}
    assert sum("value" in case for case in every) > 5
    assert any(case["refused"]["name"] for case in every if "refused" in case)


@pytest.mark.parametrize("case", good("payload.json"))
def test_a_payload_reads_the_same_with_the_libraries_alone(case: dict[str, Any]) -> None:
    version, hop, digest, head, body = msgpack.unpackb(bytes.fromhex(case["hex"]))
    rows = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(body))
    value = case["value"]
    assert version == 1
    assert value["hop"].items() <= hop.items()
    assert value["digest"] == {"hex": blake2b(head + body, digest_size=16).hexdigest()} == {"hex": digest.hex()}
    assert value["rows"] == json.loads(json.dumps(rows, default=lambda data: {"hex": data.hex()}))
    assert value["head"]["columns"] == msgpack.unpackb(head)["columns"]
