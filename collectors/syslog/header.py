"""What a grammar finds in one line: the columns between PRI and MSG, and what was wrong with them."""

from typing import Any, NamedTuple


class Header(NamedTuple):
    """One line, read by one grammar. `message` is the rest of the line, whatever it is.

    `flags` are the reasons why the line is not a whole message of that grammar, in the order they were met.
    """

    time: int | None = None
    hostname: str | None = None
    app_name: str | None = None
    proc_id: str | None = None
    msg_id: str | None = None
    structured_data: dict[str, Any] | None = None
    message: str = ""
    format: str = "none"
    flags: tuple[str, ...] = ()
