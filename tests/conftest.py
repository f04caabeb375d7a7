"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.golden import SHARED_DIR

os.environ["HINTERLAND_KEYRING"] = "off"  # nobody's own keyring fills with the users of tests


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what makes tests longer: simulated worlds, stress, fuzzing."""
    parser.addoption("--seeds", type=int, default=500, help="how many simulated worlds to run (default 500)")
    parser.addoption("--stress-seconds", type=float, default=4.0, help="how long concurrency tests run (default 4)")
    parser.addoption("--fuzz-seconds", type=float, default=0, help="how long each fuzz test goes on (default: once)")
    parser.addoption("--scenario", type=int, help="run the tests of this scenario of flx.md part 7")
    parser.addoption("--wrong-passwords", type=int, default=100, help="how many passwords to guess (default 100)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--scenario N`, leave the tests that play this scenario."""
    number = config.getoption("--scenario")
    if number is None:
        return
    wanted = [item for item in items if any(number in mark.args for mark in item.iter_markers("scenario"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> int:
    """How many simulated worlds to run."""
    count = request.config.getoption("--seeds")
    assert isinstance(count, int)
    return count


@pytest.fixture(scope="session")
def stress_s(request: pytest.FixtureRequest) -> float:
    """How long concurrency tests run."""
    return float(request.config.getoption("--stress-seconds"))


@pytest.fixture(scope="session")
def fuzz_s(request: pytest.FixtureRequest) -> float:
    """How long each fuzz test goes on."""
    return float(request.config.getoption("--fuzz-seconds"))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The directory of shared corpora (golden recordings, specifications) beside the repository."""
    if not SHARED_DIR.is_dir():
        pytest.fail(f"the shared corpora are absent: put them at ../shared of the repository ({SHARED_DIR})")
    return SHARED_DIR
