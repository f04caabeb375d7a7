"""What mypy says of programs that use the interface (PEP 681)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

mypy_api = pytest.importorskip("mypy.api")

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"


def lines_with_errors(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[int], str]:
    """Return the numbers of the lines that mypy complains about, and its output."""
    monkeypatch.setenv("MYPYPATH", str(SOURCE))
    output, _, _ = mypy_api.run(
        ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary", str(file)]
    )
    errors = re.findall(rf"{re.escape(file.name)}:(\d+): error:", output)
    return {int(number) for number in errors}, output


def test_correct_programs_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interface is typed: a correct program has no errors under --strict."""
    found, output = lines_with_errors(HERE / "declared.py", monkeypatch)
    assert (found, output) == (set(), "")


def test_wrong_programs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong keywords, types and attributes are found before the program runs."""
    file = HERE / "refused.py"
    expected = {number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# error")}
    found, output = lines_with_errors(file, monkeypatch)
    assert found == expected, output
