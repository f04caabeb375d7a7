"""Every scenario of the specification of flexible sync is played by a test that is found by its number."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLLECT = """
import json, sys
import pytest

class Numbers:
    def pytest_collection_finish(self, session):
        found = {}
        for item in session.items:
            for mark in item.iter_markers("scenario"):
                for number in mark.args:
                    found.setdefault(number, []).append(item.nodeid)
        print("\\n" + json.dumps(found))

sys.exit(pytest.main(["--collect-only", "-q", *sys.argv[1:]], plugins=[Numbers()]))
"""

NOT_OURS = {
    75: "schemas of synchronised realms only grow, for all clients alike: no version selects another shape of the data"
    " (74 says what a client with a version is told)",
    78: "moves the applications of another server from partitions to flexible sync; realms here are made in one mode",
}
"""Scenarios that concern neither our server nor our client, and why."""

PARTLY = {
    4: "a query-based configuration has no partition value that could be refused",
    14: "the text of 225 names the class or property and what to do, not Atlas's developer mode",
    18: "the server stores points as the embedded objects that they are, and has no other rule that they could break",
    66: "a class that contradicts the server's is an error in every mode: the program that declares it stays the same",
    71: "recovered changes of list elements are fitted by their position; lists are not copied as a whole",
    76: "nothing is migrated (75)",
}
"""Scenarios that are played but for a part that does not concern us, and why."""


def numbers_in_specification(shared_dir: Path) -> list[int]:
    text = (shared_dir / "spec" / "flx.md").read_text()
    part = text[text.index("\n## 7. ") : text.index("\n## 8. ")]
    return [int(one) for one in re.findall(r"^(\d+)\. ", part, re.MULTILINE)]


@cache
def scenario_tests() -> dict[int, list[str]]:
    """Return the tests that carry each number, as pytest collects them."""
    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.scenario(" in path.read_text()]
    collected = subprocess.run(
        [sys.executable, "-c", COLLECT, "-o", "addopts=--import-mode=importlib --strict-markers", *files],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
    (line,) = [one for one in collected.stdout.splitlines() if one.startswith("{")]
    return {int(number): names for number, names in json.loads(line).items()}


def test_the_specification_counts_to_90(shared_dir: Path) -> None:
    """What is compared below is all of flx.md part 7."""
    assert numbers_in_specification(shared_dir) == list(range(1, 91))


def test_every_scenario_has_a_test(shared_dir: Path) -> None:
    """The numbers of the specification are those that tests carry, but for those that are not ours."""
    found = scenario_tests()
    wanted = set(numbers_in_specification(shared_dir)) - NOT_OURS.keys()
    assert set(found) == wanted, f"without a test: {wanted - set(found)}; unknown: {set(found) - wanted}"
    assert set(found) >= PARTLY.keys()


@pytest.mark.parametrize("number", [36, 90])
def test_tests_are_found_by_number(number: int) -> None:
    """`pytest --scenario N` runs the tests of one scenario, and no others."""
    wanted = scenario_tests()[number]
    files = sorted({name.partition("::")[0] for name in wanted})
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--scenario", str(number)]
        + ["-o", "addopts=--import-mode=importlib", *files],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert sorted(line for line in collected.stdout.splitlines() if "::" in line) == sorted(wanted)
