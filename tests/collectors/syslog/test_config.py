"""Settings that could be made can listen; a mistake is said with what would be right."""

import msgspec
import pytest

from collectors.syslog.bind import Address, read_bind
from collectors.syslog.config import Syslog
from collectors.syslog.listener import Listener


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("udp://[::]:514", Address("udp", "::", 514)),
        ("tcp://0.0.0.0:6514", Address("tcp", "0.0.0.0", 6514)),
        ("udp://[2001:db8::1]:1", Address("udp", "2001:db8::1", 1)),
        ("tcp://127.0.0.1:0", Address("tcp", "127.0.0.1", 0)),
    ],
)
def test_a_bind_names_transport_address_and_port(bind: str, address: Address) -> None:
    assert address == read_bind(bind)


@pytest.mark.parametrize(
    "bind",
    [
        "",
        "514",
        "[::]:514",
        "http://[::]:514",
        "udp://:514",
        "udp://[::]",
        "udp://[::]:99999",
        "udp://[::]:x",
        "udp://host:514",
        "udp://[::]:514/x",
        "udp://u@[::]:514",
        "udp://[::",
        "udp://::1:514",
    ],
)
def test_a_wrong_bind_is_said_with_a_right_one(bind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"udp://|tcp://"):
        msgspec.convert({"bind": bind}, Listener)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("encoding", "windows-9999", "windows-1258"),
        ("encoding", "base64", "windows-1258"),
        ("encoding", "idna", "windows-1258"),
        ("zone", "Asia/Hanoi-City", "Asia/Ho_Chi_Minh"),
        ("zone", "../../etc/passwd", "Asia/Ho_Chi_Minh"),
        ("zone", "", "Asia/Ho_Chi_Minh"),
        ("max_message_bytes", 10, "480"),
        ("receive_buffer_bytes", 1, "4096"),
        ("idle_seconds", 0, "1"),
        ("max_connections", 0, "1"),
    ],
)
def test_a_wrong_value_is_said_with_a_right_one(key: str, value: object, said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"bind": "udp://[::]:514", key: value}, Listener)


@pytest.mark.parametrize(
    "wrong", [{"listeners": []}, {"lanes": {"err": "fast"}}, {"urgent_rows_per_second": -1}, {"x": 1}]
)
def test_a_collector_that_could_not_work_cannot_be_set(wrong: dict) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"collector": "syslog", **wrong}, Syslog)
