"""A value that must not be seen: it prints as `***` wherever it goes, and is read in one named place."""

import hmac
from typing import final


@final
class Secret:
    """A password, a token, a key phrase.

    `repr`, `str`, formatting and errors show `***`; only `reveal()` gives the text. It holds no promise about memory:
    a process that can be read has no secrets.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text. Call it where it is used, and keep the result nowhere."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
