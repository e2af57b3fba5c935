"""Text that comes in pieces equals the text of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.engine.detokenizer import Detokenizer, StopMatcher, TokenTable


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_pieces_join_to_what_the_tokenizer_decodes(tokenizer, token_ids):
    token_ids = [token_id % tokenizer.vocab_size for token_id in token_ids]
    table = TokenTable(tokenizer)
    detokenizer = Detokenizer(table)
    pieces = [detokenizer.push(token_id) for token_id in token_ids] + [detokenizer.flush()]
    special = set(tokenizer.special_tokens.values())
    assert "".join(pieces) == tokenizer.decode([token_id for token_id in token_ids if token_id not in special])


@given(st.text(alphabet="aé😀日\u200d👩‍👩‍👧", max_size=20))
def test_valid_text_never_shows_a_replacement_character(tokenizer, text):
    table = TokenTable(tokenizer)
    detokenizer = Detokenizer(table)
    pieces = [detokenizer.push(token_id) for token_id in tokenizer.encode(text).tolist()] + [detokenizer.flush()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def first_stop(text: str, stop: list[str]) -> str:
    """The text up to the first stop string, found character by character."""
    for end in range(len(text) + 1):
        starts = [end - len(one) for one in stop if text[:end].endswith(one)]
        if starts:
            return text[: min(starts)]
    return text


@given(
    st.text(alphabet="ab#", max_size=40),
    st.lists(st.text(alphabet="ab#", min_size=1, max_size=5), max_size=4),
    st.lists(st.integers(1, 6), max_size=40),
)
def test_stop_strings_are_found_wherever_the_text_is_cut(text, stop, sizes):
    pieces, rest = [], text
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    matcher = StopMatcher(stop)
    shown = ""
    for piece in [*pieces, rest]:
        shown += matcher.push(piece)
        assert first_stop(text, stop).startswith(shown), "part of a stop string was shown"
    shown += matcher.flush()
    assert shown == first_stop(text, stop)
    assert matcher.is_matched == (shown != text or any(one in text for one in stop))


def test_only_what_may_become_a_stop_string_is_held_back():
    matcher = StopMatcher(["###"])
    assert [matcher.push(piece) for piece in ("a#", "b##", "c")] == ["a", "#b", "##c"]


@pytest.mark.parametrize("stop", [["END"], ["xEND", "END"], ["ENDx", "END"]])
def test_nothing_is_shown_after_a_match(stop):
    matcher = StopMatcher(stop)
    assert matcher.push("aEND b") == "a"
    assert matcher.push("more") == ""
    assert matcher.flush() == ""
