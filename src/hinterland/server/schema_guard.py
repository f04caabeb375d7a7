"""Which changesets would change a realm's schema.

Clients write the classes they know whenever they open a realm, so most instructions about the schema
say what is there already.

Source: spec features.md §1.6 (canModifySchema), flx.md §2.3, wire.md §6.3 (225).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import AddColumn, AddTable, Changeset, EraseColumn, EraseTable
from hinterland.errors import ChangesetError
from hinterland.permissions.upload import schema_refusal
from hinterland.store.table import Table

__all__ = ["SchemaChangeRefusedError", "check_schema_unchanged", "is_schema_only"]

_ADDITIONS: Final = (AddTable, AddColumn)


class SchemaChangeRefusedError(ChangesetError):
    """A changeset brings a class or property that the realm does not have, and its user may not do that."""

    code = "HL-C010"


def check_schema_unchanged(tables: Mapping[str, Table], changeset: Changeset) -> None:
    """Refuse a changeset that would change the schema.

    Raises:
        SchemaChangeRefusedError: It would; names what it brings.
    """
    for it in changeset.instructions:
        match it:
            case AddTable() if it.class_name not in tables:
                refusal = schema_refusal(f'adding schema for Realm table "{it.class_name}"')
            case AddColumn() if it.class_name not in tables or it.field not in tables[it.class_name].schema.properties:
                kind = it.type.name.title()
                refusal = schema_refusal(f'adding "{kind}" column at field "{it.field}" in schema "{it.class_name}"')
            case EraseTable():
                refusal = f"the removal of class {it.class_name!r} is reserved to those who manage the realm"
            case EraseColumn():
                refusal = (
                    f"the removal of property {it.class_name}.{it.field} is reserved to those who manage the realm"
                )
            case _:
                continue
        raise SchemaChangeRefusedError(refusal)


def is_schema_only(changeset: bytes) -> bool:
    """Return whether a changeset does nothing but name classes and properties.

    Raises:
        ChangesetError: It is malformed.
    """
    return all(isinstance(it, _ADDITIONS) for it in decode(changeset).instructions)
