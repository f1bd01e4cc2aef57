"""The long tests of a run are dealt to the beginnings of its parts."""

from __future__ import annotations

import pytest

from tests.harness.long_tests import dealt


@pytest.mark.parametrize(
    ("items", "parts", "expected"),
    [
        ("abcdefgh", 1, "abcdefgh"),
        ("abcdeFGH", 1, "FGHabcde"),
        ("abcdefGH", 2, "GabcHdef"),
        ("aBcDeFgh", 3, "BaDceFgh"),
        ("ABCdefgh", 2, "ABdeCfgh"),
        ("abcdefG", 4, "Gabcdef"),
        ("AB", 4, "AB"),
        ("", 4, ""),
    ],
)
def test_each_part_begins_with_its_share(items: str, parts: int, expected: str) -> None:
    long = [item.isupper() for item in items]
    assert "".join(dealt(items, long, parts)) == expected


@pytest.mark.parametrize("parts", range(1, 9))
def test_each_is_there_once(parts: int) -> None:
    for number in range(40):
        items = list(range(number))
        for every in (1, 2, 7):
            found = dealt(items, [item % every == 0 for item in items], parts)
            assert sorted(found) == items
