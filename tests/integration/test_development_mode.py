"""Who may change the schema of a query-based realm: anybody in development, otherwise who manages it (flx.md §2.3)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.flexible_client import FlexibleClient

from hinterland.changeset.instructions import AddColumn, AddTable, CreateObject, EraseObject, Instruction, Update
from hinterland.protocol.messages import JsonError, Mark
from hinterland.server import Config, ObjectServer
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.values import ClassKind, CollectionType, PropertyType

PATH = "/shared/board"
SCHEMA: list[Instruction] = [
    AddTable("TopLevel", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("TopLevel", "int", PropertyType.INT, False, CollectionType.SINGLE),
]
OBJECTS: list[Instruction] = [
    one for key, value in ((1, 5), (2, 10)) for one in (CreateObject("TopLevel", key), Update("TopLevel", key, "int", [], value))
]  # fmt: skip
COLUMN = AddColumn("TopLevel", "other_col", PropertyType.INT, False, CollectionType.SINGLE)
ASYMMETRIC = AddTable("Reading", ClassKind.ASYMMETRIC, "_id", PropertyType.INT)


class Town:
    """A server where Bob may write to a realm and Ada manages it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.server = ObjectServer(Config(data=folder, port=0, durable=False, **options))
        directory = self.server.asgi.directory
        for name, level in (("ada", AccessLevel.ADMIN), ("bob", AccessLevel.WRITE)):
            directory.users.add(name, "password", name, now_s=int(time.time()), is_admin=False)
            directory.permissions.set(Grant(PATH, GranteeKind.USER, name, level))

    def connect(self, name: str) -> FlexibleClient:
        """Connect as a user."""
        user = self.server.asgi.directory.users.get(name)
        assert user is not None
        return FlexibleClient(self.server, PATH, token=self.server.asgi.office.issuer.start(user).access.text)


@pytest.mark.parametrize("options", [{"development": True}, {"open_schemas": True}], ids=["13", "13-opened"])
def test_scenario_13_writers_bring_the_schema_in_development(tmp_path: Path, options: dict[str, Any]) -> None:
    """With the realm's first classes, a query on them in the same breath, and later a column and a class."""
    town = Town(tmp_path, **options)
    with town.server, town.connect("bob") as bob, town.connect("ada") as ada:
        bob.open()
        bob.upload(*SCHEMA, *OBJECTS)
        bob.ask(1, '{"TopLevel":"(TRUEPREDICATE)"}')
        ada.open()
        found = ada.ask(1, '{"TopLevel":"(int >= 5)"}')
        assert found == [
            one for key in (1, 2) for one in (EraseObject("TopLevel", key), *OBJECTS[2 * key - 2 : 2 * key])
        ]
        bob.upload(COLUMN, ASYMMETRIC)
        bob.send(Mark(1, 9))
        bob.until_mark()
        ada.send(Mark(1, 9))
        assert ada.until_mark() == [COLUMN, ASYMMETRIC]


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        (COLUMN, 'adding "Int" column at field "other_col" in schema "TopLevel", schema changes from clients are'),
        (
            ASYMMETRIC,
            'adding schema for Realm table "Reading", schema changes from clients are restricted when developer',
        ),
    ],
)
def test_scenario_14_only_managers_do_otherwise(tmp_path: Path, instruction: Instruction, words: str) -> None:
    """225 in the original's words; what the realm has may be declared, and whoever manages it may add to it."""
    town = Town(tmp_path)
    with town.server, town.connect("bob") as bob, town.connect("ada") as ada:
        ada.open()
        ada.upload(*SCHEMA, *OBJECTS)
        ada.ask(1, '{"TopLevel":"(TRUEPREDICATE)"}')
        bob.open()
        bob.upload(*SCHEMA, CreateObject("TopLevel", 3))
        assert CreateObject("TopLevel", 3) in bob.ask(1, '{"TopLevel":"(TRUEPREDICATE)"}')
        bob.upload(instruction)
        error = bob.receive_until(JsonError)
        assert (error.code, error.action, error.try_again) == (225, "ApplicationBug", False)
        assert words in error.message
        ada.upload(instruction)
        ada.send(Mark(1, 9))
        ada.until_mark()
