"""The query corpus: texts the grammar accepts or refuses, and answers on small databases.

Recorded from the original library; answers marked `diverge` follow the advice of spec rql.md §18.
Run with `-s` to see the tally by feature.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.rql_corpus import build, corpus, datasets, verdict

from hinterland.errors import QuerySyntaxError
from hinterland.query import describe, parse

# Raw object keys (`O1`) have no meaning in Hinterland; they are left out on purpose (spec rql.md §3).
LEFT_OUT = frozenset({("object_literals", "link == O1")})

agreed: Counter[str] = Counter()
total: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def tally() -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"\nquery corpus, {time.perf_counter() - started:.1f} s")
    for feature, count in sorted(total.items()):
        print(f"  {feature:<28}{agreed[feature]:>6} of {count}")


def note(case: dict[str, Any], *, right: bool) -> None:
    for feature in ("all", *case.get("features", ["plain"]), *case.get("outside", [])):
        total[feature] += 1
        agreed[feature] += right


@pytest.mark.usefixtures("shared_dir")
def test_valid_texts_parse() -> None:
    """Every text that the grammar accepts parses (spec rql.md §20)."""
    refused = []
    for text in corpus()["valid"]:
        try:
            parse(text)
        except QuerySyntaxError as error:
            refused.append((text, str(error)))
    assert not refused


@pytest.mark.usefixtures("shared_dir")
def test_invalid_texts_are_refused() -> None:
    """Every text that the grammar rejects raises QuerySyntaxError that shows the place (spec rql.md §20)."""
    for text in corpus()["invalid"]:
        with pytest.raises(QuerySyntaxError) as caught:
            parse(text)
        assert "^" in str(caught.value) or not text


@pytest.mark.usefixtures("shared_dir")
def test_descriptions_parse_to_equal_trees() -> None:
    """The description of a tree is a text with an equal tree."""
    for text in corpus()["valid"]:
        tree = parse(text)
        again = parse(describe(tree))
        assert describe(again) == describe(tree), text
        assert again.steps == tree.steps or "nan" in text.lower(), text


@pytest.mark.parametrize("name", [one["name"] for one in datasets()])
def test_answers(name: str, tmp_path: Path) -> None:
    """Counts, orders and errors agree with the recorded ones (spec rql.md §20)."""
    dataset = next(one for one in datasets() if one["name"] == name)
    fixture = build(dataset, tmp_path / "corpus.hldb")
    wrong = []
    for case in [*dataset["cases"], *dataset.get("error_cases", [])]:
        if (name, case["query"]) in LEFT_OUT:
            continue
        found = verdict(fixture, case)
        note(case, right=found is None)
        if found is not None:
            wrong.append((case["query"], case["args"], found))
    fixture.store.close()
    assert not wrong
