"""Folding, LIKE, TEXT and regions, without a database."""

from __future__ import annotations

import pytest

from hinterland.query.folding import SearchError, fold, fold_bytes, like, search_words, tokens_of
from hinterland.query.geography import RegionError, check_region, is_within


@pytest.mark.parametrize(
    "text, folded",
    [("ABC xyz", "abc xyz"), ("ÀÞ×÷", "àþ×÷"), ("ŸΩЖ", "ŸΩЖ"), ("ßµ", "ßµ"), ("Ａ", "Ａ")],
)
def test_fold(text: str, folded: str) -> None:
    """[c] folds A-Z and the letters of Latin-1, nothing else (spec rql.md §11.2)."""
    assert fold(text) == folded
    assert fold_bytes(text.encode()) == folded.encode()


def test_fold_of_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 keep what is not a letter."""
    assert fold_bytes(b"A\xff\xc3") == b"a\xff\xc3"


@pytest.mark.parametrize(
    "text, pattern, matches",
    [
        ("", "*", True),
        ("a\nb", "a*b", True),
        ("é", "?", True),
        ("ab", "?", False),
        ("a[b", "a[b", True),
        ("a%b", "a_b", False),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*a*c", False),
        ("xaybzc", "*a*b*c*", True),
        ("ab", "**", True),
    ],
)
def test_like(text: str, pattern: str, matches: bool) -> None:
    """`*` is any run, `?` one code point, all else literal (spec rql.md §11.1)."""
    assert like(text, pattern, folded=False) is matches
    assert like(text.encode(), pattern.encode(), folded=False) is matches


def test_tokens() -> None:
    """Tokens are runs of ASCII and Latin-1 letters without case and accents (spec rql.md §11.3)."""
    assert tokens_of("Café déjà-vu! Ångström 1990s fox's Москва a_b 3×4") == (
        "cafe deja vu ångstrom 1990s fox s a b 34".split()
    )


def test_search_words() -> None:
    """Words may be excluded by a minus or be prefixes by a star (spec rql.md §11.3)."""
    assert search_words("Quick -brown fo*") == (["quick"], ["fo"], ["brown"])


@pytest.mark.parametrize("search", ["", "  ", "quick-witted", "qu*ck", "fox -fox"])
def test_malformed_searches(search: str) -> None:
    """No word, inner punctuation, or a word both wanted and excluded is refused (spec rql.md §11.3)."""
    with pytest.raises(SearchError):
        search_words(search)


SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0))
HOLE = ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6), (0.4, 0.4))


@pytest.mark.parametrize(
    "point, inside",
    [
        ((0.2, 0.2), True),
        ((0.5, 0.5), False),
        ((0.0, 0.0), False),
        ((1.0, 1.0), False),
        ((2.0, 0.5), False),
        ((-179.5, -0.5), False),
    ],
)
def test_polygon_with_a_hole(point: tuple[float, float], inside: bool) -> None:
    """A point lies in the outer loop and in no hole; corners lie outside (spec rql.md §13)."""
    check_region("geoPolygon", (SQUARE, HOLE), 0)
    assert is_within("geoPolygon", (SQUARE, HOLE), 0, point) is inside


def test_circle_and_box() -> None:
    """A circle includes its rim, a box has its corners in any order (spec rql.md §13)."""
    assert is_within("geoCircle", (((0.0, 0.0),),), 0.017453292519943295, (1.0, 0.0))
    assert not is_within("geoCircle", (((0.0, 0.0),),), 0.0174, (1.0, 0.0))
    assert is_within("geoBox", (((1.0, 1.0),), ((0.0, 0.0),)), 0, (0.5, 0.5))


@pytest.mark.parametrize(
    "shape, loops, radius",
    [
        ("geoBox", (((181.0, 0.0),), ((0.0, 0.0),)), 0),
        ("geoCircle", (((0.0, 91.0),),), 1),
        ("geoCircle", (((0.0, 0.0),),), -1),
        ("geoCircle", (((0.0, 0.0),),), float("nan")),
        ("geoPolygon", (SQUARE[:-1],), 0),
        ("geoPolygon", (((0.0, 0.0), (1.0, 1.0), (0.0, 0.0)),), 0),
        ("geoPolygon", (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),), 0),
        ("geoPolygon", (HOLE, SQUARE), 0),
    ],
)
def test_malformed_regions(shape: str, loops: tuple[tuple[tuple[float, float], ...], ...], radius: float) -> None:
    """Coordinates off the earth, open or crossing loops and bad radii are refused (spec rql.md §13)."""
    with pytest.raises(RegionError):
        check_region(shape, loops, radius)
