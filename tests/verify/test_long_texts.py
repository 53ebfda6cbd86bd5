"""Texts of a megabyte, drawn whole and as they stream."""

import pytest

from tests.markdown.test_bounds import long_texts, survives

TEXTS = long_texts(1_000_000)


@pytest.mark.parametrize("name", TEXTS)
def test_a_megabyte_is_survived_in_bounded_time(name: str) -> None:
    survives(TEXTS[name])
