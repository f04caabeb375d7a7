"""Each merge rule on one pair of instructions, from both sides (spec merge.md §4.5, §4.6, §4.11)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.model.peers import clone

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
    Step,
    Update,
)
from hinterland.errors import TransformError
from hinterland.merge.driver import merge
from hinterland.merge.party import Party
from hinterland.values import ClassKind, CollectionType, Link, Payload, PropertyType, Special, float32

OV, LIST, DICT, ERASED = Special.OBJECT_VALUE, Special.LIST, Special.DICTIONARY, Special.ERASED
AS_LIST, AS_DICT = CollectionType.LIST, CollectionType.DICTIONARY
INT, STRING = PropertyType.INT, PropertyType.STRING


def at(name: str = "T", *, key: str = "id", type: PropertyType = INT, kind: int = 0, null: bool = False) -> AddTable:
    return AddTable(name, ClassKind(kind), key, type, null)


def ac(
    field: str = "f",
    *,
    type: PropertyType = INT,
    target: str | None = None,
    null: bool = False,
    collection: int = 0,
    name: str = "T",
) -> AddColumn:
    return AddColumn(name, field, type, null, CollectionType(collection), target)


def u(*path: Step, v: Payload = 1, p: int | None = None, d: bool = False, f: str = "f", key: int = 1) -> Update:
    return Update("T", key, f, list(path), v, p, d)


def ai(*path: Step, n: int = 5) -> AddInteger:
    return AddInteger("T", 1, "f", list(path), n)


def ins(*path: Step, v: Payload = 1, p: int = 4) -> ArrayInsert:
    return ArrayInsert("T", 1, "f", list(path), v, p)


def mov(*path: Step, to: int, p: int = 4) -> ArrayMove:
    return ArrayMove("T", 1, "f", list(path), to, p)


def rm(*path: Step, p: int = 4) -> ArrayErase:
    return ArrayErase("T", 1, "f", list(path), p)


def clr(*path: Step, kind: CollectionType = AS_LIST) -> Clear:
    return Clear("T", 1, "f", list(path), kind)


def si(*path: Step, v: Payload = 1) -> SetInsert:
    return SetInsert("T", 1, "f", list(path), v)


def se(*path: Step, v: Payload = 1) -> SetErase:
    return SetErase("T", 1, "f", list(path), v)


EO, CO, ET, EC = EraseObject("T", 1), CreateObject("T", 1), EraseTable("T"), EraseColumn("T", "f")
SAME = "same"
GONE = None
# clause, earlier or A, later or B, what A and B become; A is earlier
EARLIER_FIRST: list[tuple[str, Instruction, Instruction, object, object]] = [
    ("N1 ET discards objects", ET, CO, SAME, GONE),
    ("N1 ET discards values", ET, u(0, p=1), SAME, GONE),
    ("N1 ET discards properties", ET, ac(), SAME, GONE),
    ("N2 EO discards values", EO, u(), SAME, GONE),
    ("N2 EO discards set inserts", EO, si(), SAME, GONE),
    ("N2 EO spares other objects", EO, u(key=2), SAME, SAME),
    ("N3 scalar U discards below", u(), ins(0), SAME, GONE),
    ("N3 U of OV keeps below", u(v=OV), u("i"), SAME, SAME),
    ("N3 U of LIST keeps indices", u(v=LIST), ins(0), SAME, SAME),
    ("N3 U of LIST discards entries", u(v=LIST), u("k"), SAME, GONE),
    ("N3 U of DICT keeps entries", u(v=DICT), u("k"), SAME, SAME),
    ("N3 U of DICT discards indices", u(v=DICT), ins(0), SAME, GONE),
    ("N3 U of ERASED discards below", u("k", v=ERASED), si("k", "s"), SAME, GONE),
    ("N3 U spares a sibling", u("k"), u("j", "x"), SAME, SAME),
    ("N4 AI discards below", ai(), u("k"), SAME, GONE),
    ("N5 INS shifts at its index", ins(1), u(1, "x"), SAME, u(2, "x")),
    ("N5 INS spares before", ins(1), u(0, "x"), SAME, SAME),
    ("N6 Q1 MOV carries the element", mov(0, to=2), u(0, "x"), SAME, u(2, "x")),
    ("N6 Q1 MOV shifts the others", mov(0, to=2), u(1, "x"), SAME, u(0, "x")),
    ("N6 Q1 MOV spares beyond", mov(0, to=2), u(3, "x"), SAME, SAME),
    ("N7 DEL discards inside", rm(1), u(1, "x"), SAME, GONE),
    ("N7 DEL shifts later", rm(1), u(2, "x"), SAME, u(1, "x")),
    ("N7 DEL spares before", rm(1), u(0, "x"), SAME, SAME),
    ("N7 deeper list", rm("k", 1), si("k", 3, "s"), SAME, si("k", 2, "s")),
    ("N8 CLR discards inside", clr(), ins(0), SAME, GONE),
    ("N8 CLR spares a sibling", clr("k"), ins("j", 0), SAME, SAME),
    ("R1 AT AT equal", at(), at(), GONE, GONE),
    ("R2 ET AT", ET, at(), SAME, GONE),
    ("R3 ET ET", ET, ET, GONE, GONE),
    ("R4 AC AC equal", ac(), ac(), GONE, GONE),
    ("R4 other property", ac("f"), ac("g"), SAME, SAME),
    ("R5 EC AC", EC, ac(), SAME, GONE),
    ("R6 EC EC", EC, EC, GONE, GONE),
    ("R8 EC U", EC, u("k", 3, p=5), SAME, GONE),
    ("R8 EC spares other properties", EC, u(f="g"), SAME, SAME),
    ("Q4 EC discards INS too", EC, ins(0), SAME, GONE),
    ("Q4 EC discards SI too", EC, si(), SAME, GONE),
    ("R9 EO CO", EO, CO, SAME, GONE),
    ("R10 EO EO", EO, EO, GONE, SAME),
    ("CO CO", CO, CO, SAME, SAME),
    ("CO U", CO, u(), SAME, SAME),
    ("R11 later wins", u(v=1), u(v=2), GONE, SAME),
    ("R11 equal scalars", u(v=1), u(v=1), GONE, SAME),
    ("R11 OV loses to a scalar", u(v=7), u(v=OV), SAME, GONE),
    ("R11 Q7 OV loses to a default null", u(v=None, d=True), u(v=OV), SAME, GONE),
    ("R11 OV OV", u(v=OV), u(v=OV), GONE, SAME),
    ("R11 LIST LIST", u(v=LIST), u(v=LIST), SAME, SAME),
    ("R11 DICT DICT", u("k", v=DICT), u("k", v=DICT), SAME, SAME),
    ("R11 LIST DICT", u(v=LIST), u(v=DICT), GONE, SAME),
    ("R11 default loses though later", u(v=1), u(v=2, d=True), SAME, GONE),
    ("R11 both default", u(v=1, d=True), u(v=2, d=True), GONE, SAME),
    ("R11 list elements", u(2, v=1, p=4), u(2, v=2, p=4), GONE, SAME),
    ("R11 other path", u("k"), u("j"), SAME, SAME),
    ("R11 ERASED is ordinary", u("k", v=ERASED), u("k", v=3), GONE, SAME),
    ("R12 earlier int absorbs", u(v=10), ai(n=5), u(v=15), SAME),
    ("R12 wraps at 64 bits", u(v=2**63 - 1), ai(n=1), u(v=-(2**63)), SAME),
    ("R12 earlier null stays", u(v=None), ai(), SAME, SAME),
    ("R12 earlier other type", u(v="x"), ai(), SAME, GONE),
    ("R12 bool is not an int", u(v=True), ai(), SAME, GONE),
    ("R12 later U wins", ai(), u(v=10), GONE, SAME),
    ("R12 later default absorbs", ai(n=5), u(v=10, d=True), SAME, u(v=15, d=True)),
    ("AI AI", ai(), ai(n=2), SAME, SAME),
    ("R13 CLR and LIST stay", clr(), u(v=LIST), SAME, SAME),
    ("R13 CLR and DICT stay", clr(kind=AS_DICT), u(v=DICT), SAME, SAME),
    ("R13 other kind, later U", clr(), u(v=DICT), GONE, SAME),
    ("R13 later CLR", u(v=3), clr(), GONE, SAME),
    ("R14 CLR AI", clr(), ai(), SAME, GONE),
    ("R15 CLR CLR", clr(), clr(), GONE, SAME),
    ("R15 Q16 kinds differ", clr(), clr(kind=AS_DICT), GONE, SAME),
    ("R16 SI CLR", clr(), si(), SAME, GONE),
    ("R16 SE CLR", clr(), se(), SAME, GONE),
    ("R17 SI SI", si(v=3), si(v=3), GONE, SAME),
    ("R17 SE SI", se(v=3), si(v=3), GONE, SAME),
    ("R17 other value", si(v=3), se(v=4), SAME, SAME),
    ("R18 Q3 SE SE by content", se(v="ab"), se(v="cd"), SAME, SAME),
    ("R18 SE SE", se(v="ab"), se(v="ab"), GONE, SAME),
    ("Q17 numbers by value", si(v=1), se(v=1.0), GONE, SAME),
    ("Q17 decimals too", si(v=Decimal("2.50")), si(v=float32(2.5)), GONE, SAME),
    ("Q17 NaN is one element", si(v=float("nan")), se(v=float("nan")), GONE, SAME),
    ("Q17 bool is no number", si(v=True), se(v=1), SAME, SAME),
    ("R17 links by content", si(v=Link("A", 1)), se(v=Link("A", 2)), SAME, SAME),
    ("Q2 CLR after INS", clr(1), ins(1), clr(2), SAME),
    ("Q2 CLR before INS", clr(0), ins(1), SAME, SAME),
    ("Q2 CLR of the erased", clr(1), rm(1), GONE, SAME),
    ("Q2 CLR after DEL", clr(2), rm(1), clr(1), SAME),
    ("Q2 CLR follows MOV", clr(0), mov(0, to=2), clr(2), SAME),
    ("SI and U of one slot", si(), u(), SAME, SAME),
    ("a link and the erase of its target", u(v=Link("T", 2)), EraseObject("T", 2), SAME, SAME),
]
# These do not depend on the times.
TIMELESS = ("N", "R1 ", "R2", "R3", "R4", "R5", "R6", "R8", "R9", "R14", "R16", "Q2", "Q4", "CO", "AI AI", "SI and")


def run(a: Instruction, b: Instruction, times: tuple[int, int], *, a_is_local: bool) -> list[Party]:
    """Merge one instruction of ident 2 with one of ident 3."""
    parties = [
        Party(clone(Changeset([one])), time, ident, is_shared=is_local)
        for one, time, ident, is_local in ((a, times[0], 2, a_is_local), (b, times[1], 3, not a_is_local))
    ]
    local, incoming = parties if a_is_local else reversed(parties)
    merge([local], [incoming])
    return parties


@pytest.mark.parametrize("a_is_local", [True, False], ids=["A local", "B local"])
@pytest.mark.parametrize("case", EARLIER_FIRST, ids=lambda case: case[0])
def test_rule(case: tuple[str, Instruction, Instruction, object, object], a_is_local: bool) -> None:
    """Each rule does to a pair what its clause says, whichever side is local (§4.5, §4.6)."""
    clause, a, b, *expected = case
    for times in ((0, 1), (1, 0)) if clause.startswith(TIMELESS) else ((0, 1), (0, 0)):
        parties = run(a, b, times, a_is_local=a_is_local)
        for party, before, after in zip(parties, (a, b), expected, strict=True):
            wanted = [] if after is GONE else [before if after is SAME else after]
            assert repr(party.changeset.instructions) == repr(wanted)
            assert party.changed is (after is not SAME)


CONTRADICTIONS: list[tuple[str, Instruction, Instruction, str]] = [
    ("S7 R1 key name", at(), at(key="b"), "'id' on one side and 'b'"),
    ("S8 R1 key type", at(), at(type=STRING), "'INT' on one side and 'STRING'"),
    ("S9 R1 key nullability", at(), at(null=True), "nullability"),
    ("R1 asymmetric", at(), at(kind=2), "'TOP_LEVEL' on one side and 'ASYMMETRIC'"),
    ("R1 embedded", at(), at(kind=1), "'TOP_LEVEL' on one side and 'EMBEDDED'"),
    ("S4 R4 type", ac(), ac(type=STRING), "T.f has type 'INT' on one side and 'STRING'"),
    ("S5 R4 nullability", ac(), ac(null=True), "nullability"),
    ("R4 collection", ac(), ac(collection=1), "'SINGLE' on one side and 'LIST'"),
    ("S6 R4 target", ac(type=PropertyType.LINK, target="A"), ac(type=PropertyType.LINK, target="B"), "'A'"),
    ("R11 sizes", u(0, p=3), u(0, p=4), "found 3 elements"),
    ("R-I sizes", ins(0), u(0, p=3), "elements"),
    ("R-I index", ins(0), u(4, p=4), "not below 4"),
    ("R-I INS index", ins(5), u(0, p=4), "not below 5"),
    ("R-M index", mov(5, to=0), u(0, p=4), "not below 4"),
    ("R-E sizes", rm(0), u(0, p=3), "elements"),
    ("R-II sizes", ins(0), ins(0, p=3), "elements"),
    ("R-EI sizes", rm(0), ins(0, p=3), "elements"),
    ("R-MM index", mov(0, to=4), mov(1, to=0), "not below 4"),
    ("R-EM index", rm(4), mov(1, to=0), "not below 4"),
    ("R-EE sizes", rm(0), rm(0, p=3), "elements"),
    ("Q21 list against dictionary", ins(0), u("k"), "as a dictionary"),
    ("N5 inconsistent paths", ins(0), u("k", "x"), "inconsistent paths"),
]


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case[0])
def test_contradiction(case: tuple[str, Instruction, Instruction, str]) -> None:
    """Definitions or sizes that cannot both be right are an error naming both, local first (§3, §4.6)."""
    _, a, b, message = case
    with pytest.raises(TransformError, match=message):
        run(a, b, (0, 1), a_is_local=True)


@pytest.mark.parametrize("et_is_local", [True, False])
def test_r7_erases_the_link_property_first(et_is_local: bool) -> None:
    """A new link property to an erased class is erased right before the class, on the eraser's side (§4.8)."""
    link = ac("x", type=PropertyType.LINK, target="X", null=True)
    adder = Party(Changeset([link, Update("T", 1, "x", [], None)]), 0, 2, is_shared=not et_is_local)
    eraser = Party(Changeset([EraseTable("X")]), 1, 3, is_shared=et_is_local)
    merge(*([eraser], [adder]) if et_is_local else ([adder], [eraser]))
    assert adder.changeset.instructions == []
    assert eraser.changeset.instructions == [EraseColumn("T", "x"), EraseTable("X")]
    assert adder.changed and eraser.changed


def test_local_changesets_are_not_modified() -> None:
    """A shared local changeset may come from a cache: the merge replaces it instead of changing it (§7.2.7)."""
    cached = Changeset([u(1, v=3, p=4)])
    party = Party(cached, 0, 2, is_shared=True)
    merge([party], [Party(Changeset([ins(0)]), 1, 3, is_shared=False)])
    assert cached.instructions == [u(1, v=3, p=4)]
    assert party.changeset.instructions == [u(2, v=3, p=5)]
