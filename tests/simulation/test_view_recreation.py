"""Objects that one changeset changes, erases and makes anew, and the views that they enter by that (flx.md §2.4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, Bench, create, matching, update, writer

from hinterland.changeset.instructions import EraseObject
from hinterland.values import Link


@pytest.mark.parametrize(
    ("query", "was_seen", "is_seen"),
    [
        ("int < 5", False, True),
        ("str == nil", False, True),
        ("link.str == 'new'", False, True),
        ("link.int == 5", True, False),
        ("int >= 0", True, True),
        ("TRUEPREDICATE", True, True),
    ],
)
def test_views_get_an_object_that_was_made_anew(query: str, was_seen: bool, is_seen: bool, tmp_path: Path) -> None:
    """What a changeset did to the old object concerns only those who saw it; others get the new one whole."""
    bench = Bench(tmp_path)
    try:
        one = writer(bench)
        bench.commit(one, *update(2, link=Link(NAME, 1)))
        bench.sync()
        reader = bench.client(matching(query))
        assert (2 in bench.held(reader)) is was_seen
        link = {"link": Link(NAME, 1)} if "new" in query else {}
        bench.commit(one, *update(2, str="old", int=7), EraseObject(NAME, 2), *create(2, **link), *update(1, str="new"))
        bench.sync()
        everything = bench.client(ALL)
        rows = bench.held(reader)
        assert (2 in rows) is is_seen
        if is_seen:
            whole = bench.held(everything)[2]
            assert rows[2] | {"link": None} == whole | {"link": None}
    finally:
        bench.close()
