"""Error codes are for programs: each names one kind of error, for good."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import hinterland
from hinterland.errors import HinterlandError


def all_errors(kind: type[HinterlandError] = HinterlandError) -> Iterator[type[HinterlandError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from all_errors(one)


def test_every_code_is_one_errors_own() -> None:
    """No class that states a code states that of another class."""
    for module in pkgutil.walk_packages(hinterland.__path__, "hinterland."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    stated = {
        (one.code, one) for one in all_errors() if "code" in vars(one) and one.__module__.startswith("hinterland.")
    }
    codes = sorted(code for code, _ in stated)
    assert len(codes) > 30
    assert [code for code in codes if codes.count(code) > 1] == []
