"""What a query reads: properties of its own class, and of other classes that it reaches through links.

A change of an object that a query reaches may change which objects it selects. A `Read` says which
property of which class matters, and the hops from the queried class to it, so that they can be walked
back: from changed objects to those whose membership is to be looked at again.

Source: spec rql.md §5, §9; flx.md §2.10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hinterland.query.ast import (
    Aggregate,
    And,
    Argument,
    Arithmetic,
    Between,
    Comparison,
    GeoWithin,
    Index,
    KeyPathArgument,
    ListLiteral,
    Literal,
    Not,
    ObjectLiteral,
    Or,
    Path,
    RawKey,
    Step,
    Subquery,
    Truth,
)
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import ClassKind, PropertyType

__all__ = ["Hop", "Read", "Reads", "reads_of"]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step through the link property `field` of `class_name`: along it, or back to the objects that have it."""

    class_name: str
    field: str
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A property of a class that a query reaches by `hops`; None when only the existence of its objects matters."""

    class_name: str
    field: str | None
    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """All that a query reads.

    `own` are properties of the queried class, `others` what lies behind links. With `is_volatile` that
    is not known: whatever changes may matter.
    """

    own: frozenset[str]
    others: frozenset[Read]
    is_volatile: bool = False


def reads_of(conditions: Iterable[object], class_name: str, schema: Schema) -> Reads:
    """Return what conditions on a class read. They must have been checked against the schema."""
    reader = _Reader(schema)
    root = _Place(schema[class_name], ())
    for condition in conditions:
        reader.visit(condition, root, None)
    own, others = set(), set()
    for read in reader.found:
        if read.hops:
            others.add(read)
        elif read.field is not None:
            own.add(read.field)
    return Reads(frozenset(own), frozenset(others), reader.is_volatile)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path has come to."""

    schema: ClassSchema
    hops: tuple[Hop, ...]


class _Reader:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.found: list[Read] = []
        self.is_volatile = False

    def visit(self, node: object, place: _Place, variable: str | None) -> None:
        """Note what a condition or operand reads; `variable` is that of the SUBQUERY around it."""
        match node:
            case Truth() | Literal() | ListLiteral():
                if isinstance(node, ListLiteral):
                    for item in node.items:
                        self.visit(item, place, variable)
            case Comparison() | Arithmetic():
                self.visit(node.left, place, variable)
                self.visit(node.right, place, variable)
            case Between():
                self.visit(node.operand, place, variable)
            case GeoWithin():
                self.visit(node.path, place, variable)
            case Not():
                self.visit(node.condition, place, variable)
            case And() | Or():
                for one in node.conditions:
                    self.visit(one, place, variable)
            case Path():
                self.walk(node, place, variable)
            case Aggregate():
                end = self.walk(node.path, place, variable)
                if node.name is not None and end is not None:
                    self.walk(Path((Step(node.name),)), end, None)
            case Subquery():
                end = self.walk(node.path, place, variable)
                if end is not None:
                    self.visit(node.condition, end, node.variable)
            case Argument() | KeyPathArgument() | ObjectLiteral() | RawKey():
                self.is_volatile = True
            case _:
                self.is_volatile = True

    def walk(self, path: Path, place: _Place, variable: str | None) -> _Place | None:
        """Follow a path; return the objects that it ends at, None if it ends at values."""
        steps = list(path.steps)
        if steps and isinstance(steps[0], Step) and steps[0].name == variable:
            steps.pop(0)
        at: _Place | None = place
        while steps:
            step = steps.pop(0)
            if at is None or isinstance(step, Index):
                continue  # what lies inside a value changes with the property that holds it
            if isinstance(step, KeyPathArgument):
                self.is_volatile = True
                return None
            if step.name == "@links":
                at = self.back(steps, at)
            elif step.name.startswith("@"):
                continue
            else:
                one = at.schema.properties.get(step.name)
                if one is None:
                    continue  # a key of a dictionary, written with a dot
                at = self.along(one, at)
        return at

    def along(self, one: Property, at: _Place) -> _Place | None:
        """Read a property, and go to what it links to."""
        self.note(at, one.name)
        if one.type is not PropertyType.LINK or one.target is None:
            return None
        end = _Place(self.schema[one.target], (*at.hops, Hop(at.schema.name, one.name)))
        self.note(end, None)
        return end

    def back(self, steps: list[Step | Index | KeyPathArgument], at: _Place) -> _Place | None:
        """Go against the links of a property of another class."""
        names = [step.name for step in steps[:2] if isinstance(step, Step)]
        origin = self.schema.classes.get(names[0]) if len(names) == 2 else None
        one = origin.properties.get(names[1]) if origin is not None else None
        if origin is None or one is None or origin.kind is ClassKind.EMBEDDED:
            self.is_volatile = True  # all backlinks, or some from inside embedded objects
            steps.clear()
            return None
        del steps[:2]
        end = _Place(origin, (*at.hops, Hop(origin.name, one.name, is_back=True)))
        self.note(end, one.name)
        return end

    def note(self, place: _Place, field: str | None) -> None:
        """Note a read; inside embedded objects it is one of the property that holds them."""
        schema, hops = place.schema, place.hops
        while schema.kind is ClassKind.EMBEDDED:
            if not hops or hops[-1].is_back:
                self.is_volatile = True
                return
            schema, field, hops = self.schema[hops[-1].class_name], hops[-1].field, hops[:-1]
        self.found.append(Read(schema.name, field, hops))
