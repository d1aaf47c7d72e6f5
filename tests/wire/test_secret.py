import pickle

import pytest

from wire.secret import Secret


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0!r}".format, "%s".__mod__])
def test_a_secret_prints_as_stars_however_it_is_shown(show):
    assert "***" == show(Secret("hunter2"))


def test_a_secret_inside_other_values_stays_hidden():
    assert "hunter2" not in repr({"password": [Secret("hunter2")]})


def test_a_secret_reveals_its_text_on_request():
    assert "hunter2" == Secret("hunter2").reveal()


def test_secrets_compare_by_their_text():
    assert Secret("mật khẩu") == Secret("mật khẩu")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert 1 == len({Secret("a"), Secret("a")})


def test_a_secret_cannot_be_pickled_into_a_file():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("a"))
