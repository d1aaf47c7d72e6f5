"""Bytes or samples in, rows out. One module (or package) per kind of source; `sink.py` is the floor, `registry.py` the list."""
