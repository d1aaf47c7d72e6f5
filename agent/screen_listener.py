"""A listener on the screen of `edgepost status`: a line of how it is, then who was refused, and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.cells import WIDTH, fit, wrap
from wire.text import human_bytes


def listener_lines(listener: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give colour and text of each line; the keys are those of `docs/status.md`, "JSON"."""
    yield ("", fit(f"  {listener.get('bind', '?')}  {_state(listener)}", WIDTH))
    for text in _refusals(listener):
        for line in wrap(text, WIDTH, indent="    "):
            yield ("warn", line)


def _state(listener: Mapping[str, Any]) -> str:
    words = [str(listener.get("state") or "?")]
    if listener.get("handed_over"):
        words[0] += " (handed over)"
    if listener.get("receive_buffer_bytes") is not None:
        words.append(f"receive buffer {human_bytes(listener['receive_buffer_bytes'])}")
    for key, unit in (("connections", "connection"), ("handshakes", "handshake")):
        if listener.get(key) is not None and (key == "connections" or listener[key]):
            words.append(_many(listener[key], unit))
    if listener.get("certificate_days") is not None:
        words.append(f"certificate {listener['certificate_days']} d")
    return ", ".join(words) + (" !" if listener.get("problem") else "")


def _refusals(listener: Mapping[str, Any]) -> Iterator[str]:
    last = listener.get("last_handshake_failure")
    if isinstance(last, Mapping):
        failed = _many(listener.get("handshakes_failed") or 0, "handshake")
        yield f"{failed} failed; the last, of {last.get('peer')}: {last.get('why')}"
    for unit in ("connection", "datagram"):
        if listener.get(f"refused_{unit}s"):
            refused = _many(listener[f"refused_{unit}s"], unit)
            yield f"refused {refused}: {_peers(listener.get('refused_peers'), f'{unit}s')}"
    if listener.get("over_rate"):
        yield f"dropped over the rate, in rows: {_peers(listener['over_rate'], 'rows')}"


def _peers(peers: Any, unit: str) -> str:
    some = [one for one in peers if isinstance(one, Mapping)] if isinstance(peers, list | tuple) else []
    return ", ".join(f"{one.get('peer')} ({one.get(unit):,})" for one in some if isinstance(one.get(unit), int))


def _many(number: Any, unit: str) -> str:
    shown = f"{number:,}" if isinstance(number, int) else str(number)
    return f"{shown} {unit}{'' if number == 1 else 's'}"
