"""The worked list cells of spec merge.md §4.7: both sides, both times, transformed and applied."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.model.peers import clone
from tests.model.state import State
from tests.model.transaction import Transaction

from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    Instruction,
    Update,
)
from hinterland.merge.driver import merge
from hinterland.merge.party import Party
from hinterland.values import CollectionType, PropertyType

TABLE = """
I(1,X;4) | I(3,Y;4) | any | I(1,X;5) | I(4,Y;5) | aXbcYd
I(2,X;4) | I(2,Y;4) | A<B | I(2,X;5) | I(3,Y;5) | abXYcd
I(2,X;4) | I(2,Y;4) | A>B | I(3,X;5) | I(2,Y;5) | abYXcd
I(4,X;4) | I(4,Y;4) | A<B | I(4,X;5) | I(5,Y;5) | abcdXY
I(1,X;4) | E(0;4) | any | I(0,X;3) | E(0;5) | Xbcd
I(1,X;4) | E(1;4) | any | I(1,X;3) | E(2;5) | aXcd
I(1,X;4) | E(2;4) | any | I(1,X;3) | E(3;5) | aXbd
E(1;4) | E(3;4) | any | E(1;3) | E(2;3) | ac
E(2;4) | E(2;4) | any | - | - | abd
U(1,X;4) | U(1,Y;4) | A<B | - | U(1,Y;4) | aYcd
U(1,X;4) | I(1,Y;4) | any | U(2,X;5) | I(1,Y;4) | aYXcd
U(1,X;4) | I(2,Y;4) | any | U(1,X;5) | I(2,Y;4) | aXYcd
U(1,X;4) | E(1;4) | any | - | E(1;4) | acd
U(2,X;4) | E(1;4) | any | U(1,X;3) | E(1;4) | aXd
U(0,X;4) | M(0>3;4) | any | U(3,X;4) | M(0>3;4) | bcdX
U(2,X;4) | M(0>3;4) | any | U(1,X;4) | M(0>3;4) | bXda
U(1,X;4) | M(3>0;4) | any | U(2,X;4) | M(3>0;4) | daXc
M(0>3;4) | I(3,Y;4) | any | M(0>4;5) | I(2,Y;4) | bcYda
M(0>2;4) | I(3,Y;4) | A<B | M(0>3;5) | I(2,Y;4) | bcYad
M(0>2;4) | I(3,Y;4) | A>B | M(0>2;5) | I(3,Y;4) | bcaYd
M(3>1;4) | I(1,Y;4) | A<B | M(4>2;5) | I(1,Y;4) | aYdbc
M(3>1;4) | I(1,Y;4) | A>B | M(4>1;5) | I(2,Y;4) | adYbc
M(0>3;4) | E(0;4) | any | - | E(3;4) | bcd
M(0>3;4) | E(2;4) | any | M(0>2;3) | E(1;4) | bda
M(3>0;4) | E(1;4) | any | M(2>0;3) | E(2;4) | dac
M(1>2;4) | E(2;4) | any | - | E(1;4) | abd
M(0>3;4) | M(0>1;4) | A<B | - | M(3>1;4) | bacd
M(0>3;4) | M(0>1;4) | A>B | M(1>3;4) | - | bcda
M(0>3;4) | M(3>0;4) | any | M(1>3;4) | M(2>0;4) | dbca
M(0>2;4) | M(3>2;4) | any | M(0>3;4) | M(3>1;4) | bdca
M(1>2;4) | M(2>1;4) | A<B | M(2>1;4) | M(1>2;4) | abcd
M(1>2;4) | M(2>1;4) | A>B | - | - | acbd
C | I(1,Y;4) | any | C | - |
C | U(1,Y;4) | any | C | - |
C | E(1;4) | any | C | - |
C | M(0>3;4) | any | C | - |
C | C | A<B | - | C |
"""


def parse(text: str) -> list[Instruction]:
    """An instruction in the notation of the table; "-" is none."""
    if text == "-":
        return []
    if text == "C":
        return [Clear("T", 1, "l", [], CollectionType.LIST)]
    kind, operands, size = re.fullmatch(r"(.)\((.*);(\d)\)", text).groups()
    p = int(size)
    if kind == "E":
        return [ArrayErase("T", 1, "l", [int(operands)], p)]
    if kind == "M":
        source, target = operands.split(">")
        return [ArrayMove("T", 1, "l", [int(source)], int(target), p)]
    index, value = operands.split(",")
    if kind == "I":
        return [ArrayInsert("T", 1, "l", [int(index)], value, p)]
    return [Update("T", 1, "l", [int(index)], value, p)]


def rows() -> list[tuple[str, ...]]:
    """One case per row and time."""
    cases: list[tuple[str, ...]] = []
    for line in TABLE.strip().splitlines():
        a, b, time, a_after, b_after, result = (cell.strip() for cell in line.split("|"))
        for one in ("A<B", "A>B") if time == "any" else (time,):
            cases.append((a, b, one, a_after, b_after, result))
    return cases


def applied(*changesets: Changeset) -> str:
    """The list `abcd` after the changesets."""
    state = State()
    with Transaction(state, lambda made: None) as t:
        t.table("T")
        t.column("T", "l", PropertyType.STRING, CollectionType.LIST)
        t.create("T", 1)
        for letter in "abcd":
            t.append("T", 1, "l", letter)
    for changeset in changesets:
        state.apply(changeset)
    return "".join(state.value("T", 1, "l"))


@pytest.mark.parametrize("case", rows(), ids=lambda case: " ".join(case[:3]))
def test_list_cell(case: tuple[str, ...]) -> None:
    """Each worked cell gives the stated pair whichever side is local, and one list (§4.6, §4.7)."""
    a_text, b_text, time, a_after, b_after, result = case
    times = (0, 1) if time == "A<B" else (1, 0)
    a, b = Changeset(parse(a_text)), Changeset(parse(b_text))
    for a_is_local in (True, False):
        parties: list[Any] = [
            Party(clone(a), times[0], 2, is_shared=a_is_local),
            Party(clone(b), times[1], 3, is_shared=not a_is_local),
        ]
        merge(*([parties[0]], [parties[1]]) if a_is_local else ([parties[1]], [parties[0]]))
        assert parties[0].changeset.instructions == parse(a_after)
        assert parties[1].changeset.instructions == parse(b_after)
        assert applied(a, parties[1].changeset) == applied(b, parties[0].changeset) == result
        assert [one.changed for one in parties] == [a_text != a_after, b_text != b_after]
