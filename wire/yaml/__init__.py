"""A YAML file to settings: every mistake at once, each with its place and what to do.

    text ──compose──► nodes with marks ──overlay──► one tree ──walk against structs──► settings, or all mistakes

Scalars are YAML 1.2 core (section 10.3.2), so `NO`, `0514` and `1:30` mean what they look like. Duplicate keys,
aliases, anchors and tags are mistakes: settings are data that a person reads. `${ENV}` is replaced inside scalars
after parsing, so a value can never become structure. A secret key K may come as `K_file: PATH`.

| file          | responsibility                                                                |
|---------------|-------------------------------------------------------------------------------|
| `mistakes.py` | a place in a file, what is wrong there, what to do; how that is printed        |
| `compose.py`  | bytes to nodes with marks; everything YAML that settings do not need is refused |
| `overlay.py`  | `include`: one file laid over another                                         |
| `scalars.py`  | text to null, bool, int, float by the core schema                             |
| `walk.py`     | nodes against msgspec structs                                                 |
| `remedies.py` | the nearest valid key, and what else to do about a mistake                     |
| `schema.py`   | structs to JSON Schema, for editors                                           |

`docs/configuration.md` says the same to whoever writes such a file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from wire.yaml.mistakes import ConfigError, Mistake
from wire.yaml.overlay import read_tree
from wire.yaml.values import Name
from wire.yaml.walk import Walk

__all__ = ["ConfigError", "Mistake", "Name", "load"]

_T = TypeVar("_T", bound=msgspec.Struct)


def load(path: Path, kind: type[_T], *, env: Mapping[str, str] = os.environ, checks_files: bool = False) -> _T:
    """Read a file, and the files it includes, as one struct.

    Args:
        path: of the file.
        kind: the struct of the whole; an entry of a list of tagged structs is chosen by its tag.
        env: for `${NAME}` and $CREDENTIALS_DIRECTORY.
        checks_files: whether certificates and keys that cannot be read are mistakes too.

    Raises:
        ConfigError: with every mistake there is, in the order of the files and lines.
    """
    mistakes: list[Mistake] = []
    root = read_tree(path, kind=kind, mistakes=mistakes)
    settings: _T | None = None
    if root is not None:
        settings = Walk(mistakes, env=env, checks_files=checks_files).read_root(root, kind)
    if mistakes or settings is None:
        raise ConfigError(mistakes)
    return settings
