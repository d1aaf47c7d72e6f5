import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.topics import Up, all_up, down, probe, read_up, state, up

ROOT = "edgepost"


def test_topics_are_spelled_as_the_format_says() -> None:
    assert up(ROOT, "hue", sender="gw-01", stream="syslog") == "edgepost/v1/up/hue/gw-01/syslog"
    assert state(ROOT, "hue", sender="gw-01") == "edgepost/v1/up/hue/gw-01/state"
    assert down(ROOT, "hue", sender="gw-01") == "edgepost/v1/down/hue/gw-01"
    assert probe(ROOT, "c1") == "edgepost/v1/down/_probe/c1"
    assert all_up(ROOT) == "edgepost/v1/up/+/+/+"
    assert all_up(ROOT, "hue") == "edgepost/v1/up/hue/+/+"


@pytest.mark.parametrize("root", ["edgepost", "a/b", ""])
def test_what_was_written_is_read_back(root: str) -> None:
    assert read_up(root, up(root, "hue", sender="gw-01", stream="syslog")) == Up("hue", "gw-01", "syslog")
    assert read_up(root, state(root, "hue", sender="gw-01")) == Up("hue", "gw-01", "state")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edgepost",
        "edgepost/v1/up/hue/gw-01",
        "edgepost/v1/up/hue/gw-01/syslog/more",
        "edgepost/v2/up/hue/gw-01/syslog",
        "edgepost/v1/down/hue/gw-01",
        "other/v1/up/hue/gw-01/syslog",
        "edgepost/v1/up/hue/../syslog",
        "edgepost/v1/up/hue/gw-01/Syslog",
        "edgepost/v1/up/hue/gw-01/sys\nlog",
        "edgepost/v1/up/hue/gw-01/syslog\n",
        "edgepost/v1/up//gw-01/syslog",
        "edgepost/v1/up/+/+/+",
        "edgepost/v1/up/hue/" + "a" * 64 + "/syslog",
        "edgepost/v1/up/hue/_probe/syslog",
    ],
)
def test_a_topic_that_is_not_ours_or_holds_no_name_reads_as_none(topic: str) -> None:
    assert read_up(ROOT, topic) is None


@given(st.text())
def test_any_topic_reads_as_names_or_none(text: str) -> None:
    read = read_up(ROOT, "edgepost/v1/up/" + text)
    assert read is None or up(ROOT, read.site, sender=read.sender, stream=read.stream) == "edgepost/v1/up/" + text
