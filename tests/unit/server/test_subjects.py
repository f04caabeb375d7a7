"""The server's users as permissions see them (flx.md §3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.permissions.subject import Json, Subject
from hinterland.server.directory import SqliteDirectory, open_directory
from hinterland.server.subjects import subjects


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqliteDirectory]:
    made = open_directory(tmp_path / "d.hldb", durable=False)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nurse", "nurse"),
        ('["A", "B"]', ["A", "B"]),
        ("true", True),
        ("false", False),
        ("3", "3"),
        ("null", "null"),
        ("[not json", "[not json"),
        ("[" * 100_000, "[" * 100_000),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_metadata_are_texts_lists_or_truths(directory: SqliteDirectory, text: str, value: Json) -> None:
    """What cannot be read otherwise stays the text that it is."""
    directory.users.add("ada", "password", "ada", now_s=1, metadata={"x": text})
    assert subjects(directory)("ada") == Subject("ada", custom={"x": value, "roles": []})


def test_roles_on_the_server_cannot_be_feigned(directory: SqliteDirectory) -> None:
    """Metadata of that name do not count."""
    directory.users.add("ada", "password", "ada", now_s=1, is_admin=True, metadata={"roles": '["boss"]'})
    directory.users.set_roles("ada", {"doctor", "chief"})
    assert subjects(directory)("ada") == Subject("ada", is_admin=True, custom={"roles": ["chief", "doctor"]})


def test_an_unknown_user_has_nothing_but_its_identity(directory: SqliteDirectory) -> None:
    """Rules that ask for more do not apply to it."""
    assert subjects(directory)("nobody") == Subject("nobody")
