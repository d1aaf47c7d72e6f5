import pytest

from wire.yaml.scalars import fill, resolve


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[(text, text) for text in ("NO", "yes", "on", "off", "n", "tRUE", "1:30", "1_000", "2GiB", "1.2.3", ".", "-")],
        ("0514", 514),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.", 1.0),
        (".5", 0.5),
        ("6.02e23", 6.02e23),
        ("2026-11-24", "2026-11-24"),
        ("٣", "٣"),  # a digit, but not an ASCII one
        (".inf", ".inf"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_plain_scalar_means_what_the_core_schema_says(text, expected):
    value = resolve(text)
    assert (type(expected), expected) == (type(value), value)


def fill_all(text, **env):
    missing = []
    return fill(text, env, missing=missing.append), missing


def test_environment_is_filled_in_wherever_it_stands():
    assert ("mqtt://a:1883", []) == fill_all("mqtt://${HOST}:${PORT}", HOST="a", PORT="1883")


def test_two_dollars_keep_the_text():
    assert ("${HOST} $HOST $", []) == fill_all("$${HOST} $HOST $", HOST="a")


def test_a_filled_value_is_not_filled_again():
    assert ("${B}", []) == fill_all("${A}", A="${B}", B="c")


def test_every_name_that_the_environment_lacks_is_told():
    assert ("-", ["A", "B"]) == fill_all("${A}-${B}")
