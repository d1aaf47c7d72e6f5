"""What a test may need of the machine, said in one way: `@pytest.mark.needs("mosquitto")`, `@pytest.mark.root`.

What is not there leaves the test out and prints the apt line that would bring it; with CI=true it fails instead, so
that no suite is lost in silence.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE_OF = {
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "rsyslogd": "rsyslog",
    "logger": "bsdutils",
    "ip": "iproute2",
    "systemd-socket-activate": "systemd",
    "unshare": "util-linux",
}
TREE = Path(__file__).resolve().parents[1]

# Debian keeps daemons where a user's PATH does not look.
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def is_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def leave_out(reason: str) -> None:
    if is_ci():
        pytest.fail(f"left out, which CI=true forbids: {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            packages = " ".join(dict.fromkeys(PACKAGE_OF.get(program, program) for program in missing))
            leave_out(f"{', '.join(missing)} not on PATH: apt install {packages}")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        leave_out("needs root")


def pytest_sessionstart() -> None:
    """`make test` tests what was installed: the tree's own packages must not be importable."""
    if os.environ.get("EDGEPOST_TEST_INSTALLED"):
        import agent

        place = Path(str(agent.__file__)).resolve()
        if place.is_relative_to(TREE) and not place.is_relative_to(TREE / ".venv-wheel"):
            pytest.exit(f"agent is imported from {place}, not from the installed wheel", returncode=3)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real lines and captures; tests that need it are left out where it is not."""
    folder = os.environ.get("EDGEPOST_SAMPLES")
    if not folder:
        pytest.skip("EDGEPOST_SAMPLES names no folder of samples")
    return Path(folder)


@pytest.fixture(name="leave_out")
def leave_out_fixture() -> Callable[[str], None]:
    """Leave a test out for a reason that no program on PATH tells."""
    return leave_out
