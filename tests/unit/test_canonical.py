"""Canonical JSON: the fast way and the library write the same bytes, or both refuse."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from soar import canonical

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None), max_size=4), inner),
    max_leaves=12,
)


@given(VALUES)
def test_it_writes_what_the_standard_says(value: object) -> None:
    try:
        wanted = rfc8785.dumps(value)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:
        with pytest.raises(canonical.Refused):
            canonical.dumps(value)
        return
    assert canonical.dumps(value) == wanted


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_is_escaped_alike(text: str) -> None:
    assert canonical.dumps({"text": text, "list": [text]}) == rfc8785.dumps({"text": text, "list": [text]})


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), {1: 2}, {"x": object()}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(canonical.Refused):
        canonical.dumps(value)
