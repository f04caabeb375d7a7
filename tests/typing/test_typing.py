"""What mypy and pyright say of programs that use the interface (PEP 681)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

mypy_api = pytest.importorskip("mypy.api")
pytest.importorskip("basedpyright")

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"


def mypy(*files: Path) -> str:
    """Return what mypy complains about, in its strictest mode."""
    output, _, _ = mypy_api.run(
        ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary", *map(str, files)]
    )
    return output


def pyright(*files: Path) -> str:
    """Return what pyright complains about."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    found = json.loads(result.stdout)["generalDiagnostics"]
    return "".join(
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: error: {one['message']}\n" for one in found
    )


@pytest.fixture(params=[mypy, pyright])
def check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A type checker that knows the package's sources."""
    monkeypatch.setenv("MYPYPATH", str(SOURCE))
    return request.param  # type: ignore[no-any-return]


def test_correct_programs_pass(check: Callable[..., str]) -> None:
    """The interface is typed: correct programs have no errors, also where they ask queries."""
    assert check(HERE / "declared.py", HERE / "queried.py") == ""


def test_wrong_programs_fail(check: Callable[..., str]) -> None:
    """Wrong keywords, types and attributes are found before the program runs."""
    files = [HERE / "refused.py", HERE / "refused_queries.py"]
    expected = {
        (file.name, number)
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.endswith("# error")
    }
    output = check(*files)
    found = re.findall(r"(\w+\.py):(\d+): error:", output)
    assert {(name, int(number)) for name, number in found} == expected, output
