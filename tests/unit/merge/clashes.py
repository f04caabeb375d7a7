"""Definitions that cannot both be right: S4 to S9 (spec merge.md §3, §6.1)."""

from __future__ import annotations

from typing import NamedTuple

from tests.model.state import State
from tests.model.transaction import Transaction
from tests.unit.merge.scenario import Options, both, do, made
from tests.unit.merge.world import Write

from hinterland.changeset.instructions import AddTable, Instruction
from hinterland.values import ClassKind, PropertyType

INT, STRING, LINK = PropertyType.INT, PropertyType.STRING, PropertyType.LINK
NULLABLE = Options(nullable=True)


class Clash(NamedTuple):
    """What A and B define, what differs, and its values as A and B have it."""

    id: str
    of_a: Write
    of_b: Write
    what: str
    a_has: str
    b_has: str

    def changesets(self) -> list[list[Instruction]]:
        """What A and B record."""
        found: list[list[Instruction]] = []
        for write in (self.of_a, self.of_b):
            with Transaction(State(), found.append) as t:
                write(t)
        return found

    def message(self, *, a_is_local: bool) -> str:
        """What the error says; the local side's value comes first."""
        local, remote = (self.a_has, self.b_has) if a_is_local else (self.b_has, self.a_has)
        return f"{self.what} '{local}' on one side and '{remote}' on the other"


def column(*definition: object, key: int, value: object, options: Options | None = None) -> Write:
    """Add class foo with a property `column`, and an object with a value in it."""
    options = options or Options()
    return both(
        do(("table", "foo"), ("column", "foo", "column", *definition, options)),
        made("foo", key, ("set", "column", value)),
    )


def link(target: str) -> Write:
    """Add class foo with a link to another class."""
    return do(("table", "foo"), ("table", target), ("column", "foo", "column", LINK, Options(target=target)))


def keyed(name: str, kind: PropertyType, *, nullable: bool = False) -> Write:
    """Add class foo with a primary key."""
    return do(("do", AddTable("foo", ClassKind.TOP_LEVEL, name, kind, nullable)))


CLASHES: list[Clash] = [
    Clash(
        "S4",
        column(INT, key=1, value=123),
        column(STRING, key=2, value="Hello, World!"),
        "property foo.column has type",
        "INT",
        "STRING",
    ),
    Clash(
        "S5",
        column(INT, key=1, value=123),
        column(INT, key=2, value=123, options=NULLABLE),
        "property foo.column has nullability",
        "False",
        "True",
    ),
    Clash("S6", link("bar"), link("baz"), "property foo.column has link target", "bar", "baz"),
    Clash("S7", keyed("a", INT), keyed("b", INT), "class 'foo' has primary key", "a", "b"),
    Clash("S8", keyed("a", INT), keyed("a", STRING), "class 'foo' has primary key type", "INT", "STRING"),
    Clash(
        "S9",
        keyed("a", INT),
        keyed("a", INT, nullable=True),
        "class 'foo' has primary key nullability",
        "False",
        "True",
    ),
]
