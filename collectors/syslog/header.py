"""What a grammar finds in one line: the columns between PRI and MSG, and what was wrong with them."""

from typing import Any, Final, NamedTuple

MOST_BEFORE: Final = 900  # params; a receiver refuses maps of much more, and with one row its whole batch would go


class Header(NamedTuple):
    """One line, read by one grammar. `message` is the rest of the line, whatever it is.

    `flags` are the reasons why the line is not a whole message of that grammar, in the order they were met. `family`
    is the kind of device whose dialect it is (`collectors.syslog.families`).
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
    family: str | None = None


def add_data(header: Header, element: str, **params: str | None) -> Header:
    """Keep what a header says and no column takes: as structured data, without the params that are None."""
    told = {name: value for name, value in params.items() if value is not None}
    if not told or sum(map(len, (header.structured_data or {}).values())) > MOST_BEFORE:
        return header
    data = dict(header.structured_data or {})
    data[element] = {**data.get(element, {}), **told}
    return header._replace(structured_data=data)
