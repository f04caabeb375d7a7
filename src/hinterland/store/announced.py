"""The properties that the beginning of a changeset adds to the classes that it adds.

SQLite takes a hundred times as long to add columns one after the other as to make a table that has them.

Source: spec merge.md §1.7, §2.3 (AddTable, AddColumn).
"""

from __future__ import annotations

from collections.abc import Sequence

from hinterland.changeset.instructions import AddColumn, AddTable, Instruction
from hinterland.schema.types import Property, Schema
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["announced_properties", "column_problem"]


def column_problem(it: AddColumn, target: ClassKind | None) -> str:
    """Return why a property cannot be added; empty if it can.

    Args:
        it: What adds it.
        target: The kind of the class that it links to, None if there is none.
    """
    if it.collection is CollectionType.DICTIONARY and it.key_type is not PropertyType.STRING:
        return "dictionaries have string keys"
    if it.type is not PropertyType.LINK:
        return ""
    if target is None:
        return f"the target class {it.target!r} does not exist"
    if target is ClassKind.EMBEDDED and it.collection is CollectionType.SET:
        return "a set cannot hold embedded objects"
    return "nothing can link to an asymmetric class" if target is ClassKind.ASYMMETRIC else ""


def announced_properties(instructions: Sequence[Instruction], schema: Schema) -> dict[str, Sequence[Property]]:
    """Return the properties of each class that the schema does not have yet, in their order.

    What follows something that is wrong with a class is left out, so that applying the instructions comes upon that.
    """
    if not instructions or not isinstance(instructions[0], AddTable):
        return {}
    kinds = {one.name: one.kind for one in schema}
    found: dict[str, dict[str, Property]] = {}
    wrong: set[str] = set()
    for it in instructions:
        if isinstance(it, AddTable):
            if it.class_name not in kinds:
                kinds[it.class_name] = it.kind
                key = Property(it.key_field, it.key_type, nullable=it.key_nullable)
                found[it.class_name] = {it.key_field: key}
        elif not isinstance(it, AddColumn):
            break
        elif it.class_name in found and it.class_name not in wrong:
            properties = found[it.class_name]
            if column_problem(it, kinds.get(it.target or "")) or not _is_name(it.field):
                wrong.add(it.class_name)
            elif it.field not in properties:
                properties[it.field] = Property(it.field, it.type, it.collection, it.nullable, it.target)
    return {name: list(properties.values())[1:] for name, properties in found.items()}


def _is_name(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
