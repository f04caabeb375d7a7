"""The code and the rules of the page on permissions in query-based realms are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.permissions.rules_document import parse_rules

PAGE = Path(__file__).parents[3] / "docs" / "object-permissions.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of the page, one after the other, are one program whose assertions hold."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), scope)
    realm = scope["realm"]
    assert isinstance(realm, hl.Realm)
    assert {role.name for role in realm.permissions.roles} >= {"crew", "everyone", "admins"}
    realm.close()


def test_the_rules_are_rules() -> None:
    """The document on the page is read as it stands."""
    (document,) = blocks("toml")
    rules = parse_rules(document)
    assert [role.name for role in rules.classes["Patient"]] == ["nurse", "patient"]
    assert rules.default
