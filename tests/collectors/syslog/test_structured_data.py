"""Many texts at once equal one text at a time, where the fast way takes them at all."""

from hypothesis import example, given
from hypothesis import strategies as st

from collectors.syslog.structured_data import read_elements, read_simple

part = st.text(st.sampled_from('ab="]\\[ \u00e9\x7f'), max_size=5)
element = st.builds(
    lambda name, params: f"[{name}{''.join(params)}]",
    st.one_of(st.sampled_from(["meta", "x@1", "n" * 32, "n" * 33]), part),
    st.lists(
        st.builds('{}{}="{}"'.format, st.sampled_from([" ", "  ", ""]), st.sampled_from(["ip", "id", "p" * 33]), part),
        max_size=3,
    ),
)


def whole(text):
    """What the one-by-one reader gives when it takes all of a text."""
    found = read_elements(text)
    return found.data if found and found.end == len(text) and not found.is_repeated else None


@given(st.lists(st.one_of(element, part, st.builds("{}{}".format, element, element)), min_size=1, max_size=4))
@example(['[meta sequenceId="1"]', '[a b="1" c="2"]', '[a b="1" b="2"]', "[a]", "-", "", '[a b="\\]"]'])
def test_what_the_fast_way_takes_it_takes_as_the_slow_way_does(texts):
    found = read_simple(texts)
    assert len(texts) == len(found)
    for text, data in zip(texts, found, strict=True):
        assert data is None or data == whole(text)


def test_the_fast_way_takes_one_element_without_escapes_or_repeats():
    texts = ['[meta sequenceId="1"]', '[a b="1" c="x y"]', '[a b="1" b="2"]', '[a b="\\""]', '[a b="1"][c d="2"]']
    assert [{"meta": {"sequenceId": "1"}}, {"a": {"b": "1", "c": "x y"}}, None, None, None] == read_simple(texts)
