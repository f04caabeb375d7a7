"""Changes of a schema beyond additions: what a migration does to the properties of a local realm."""

from __future__ import annotations

from hinterland.errors import SchemaError
from hinterland.schema.types import Property
from hinterland.store.layout import quote
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import CollectionType, PropertyType

__all__ = ["change_property", "copy_links", "is_nullability_only", "rename_class", "rename_property"]

_HIDDEN = "~replaced"


def is_nullability_only(old: Property, new: Property) -> bool:
    """Return whether the values of one property fit the other, apart from nulls."""
    return (old.type, old.collection, old.target) == (new.type, new.collection, new.target)


def change_property(transaction: WriteTransaction, class_name: str, new: Property) -> None:
    """Give a property another type; existing values are kept if only its nullability changes.

    Where None is no longer allowed, the type's default takes its place.
    """
    table = transaction.store.tables[class_name]
    old = table.schema.properties[new.name]
    keeps = is_nullability_only(old, new)
    if keeps and new.collection is not CollectionType.SINGLE:
        _change_elements(transaction, class_name, new)
        return
    _set_name(transaction, class_name, new.name, _HIDDEN)
    before = transaction.store.tables[class_name].columns.get(_HIDDEN)
    transaction.add_property(class_name, new)
    if keeps and before is not None:
        table = transaction.store.tables[class_name]
        after = table.columns[new.name]
        # For `X | None` the default is None, and coalesce(v, NULL) is v.
        transaction.connection.execute(
            f"UPDATE {quote(table.name)} SET {quote(after.name)}=coalesce({quote(before.name)}, ?)", (after.default,)
        )
    transaction.erase_property(class_name, _HIDDEN)


def _change_elements(transaction: WriteTransaction, class_name: str, new: Property) -> None:
    """Change whether the elements of a collection may be None."""
    transaction.flush()
    table = transaction.store.tables[class_name]
    side = table.sides[new.name]
    if not new.nullable:
        name = quote(side.name)
        if new.type is PropertyType.LINK or new.collection is not CollectionType.LIST:
            raise SchemaError(
                f"{class_name}.{new.name}: the elements of a set or dict cannot stop being optional;"
                " give the new property another name and copy the values"
            )
        from hinterland.store.sqlform import SQL_DEFAULT

        transaction.connection.execute(f"UPDATE {name} SET value=? WHERE value IS NULL", (SQL_DEFAULT[new.type],))
    transaction.connection.execute("UPDATE _properties SET nullable=? WHERE id=?", (int(new.nullable), side.id))
    transaction.reload_schema()


def rename_property(transaction: WriteTransaction, class_name: str, old: str, new: str) -> None:
    """Rename a property with its values; an empty property of the new name gives way.

    Raises:
        SchemaError: The old one is absent, is the primary key, or is of another type than the new one.
    """
    schema = transaction.store.tables[class_name].schema
    if old not in schema.properties:
        raise SchemaError(f"class {class_name} has no property {old} to rename")
    if schema.key in (old, new):
        raise SchemaError(f"{class_name}.{old} cannot be renamed to {new}: the primary key stays what it is")
    wanted = schema.properties.get(new)
    if wanted is not None:
        if not is_nullability_only(schema.properties[old], wanted):
            raise SchemaError(
                f"{class_name}.{old} cannot be renamed to {new}, which is of another type; copy the values instead"
            )
        transaction.erase_property(class_name, new)
    _set_name(transaction, class_name, old, new)
    if wanted is not None and wanted.nullable != schema.properties[old].nullable:
        change_property(transaction, class_name, wanted)
    elif wanted is not None:
        if wanted.indexed and not schema.properties[old].indexed:
            transaction.set_indexed(class_name, new, indexed=True)
        if wanted.full_text and not schema.properties[old].full_text:
            transaction.add_text_index(class_name, new)


def _set_name(transaction: WriteTransaction, class_name: str, old: str, new: str) -> None:
    table = transaction.store.tables[class_name]
    transaction.connection.execute("UPDATE _properties SET name=? WHERE class=? AND name=?", (new, table.id, old))
    transaction.reload_schema()


def rename_class(transaction: WriteTransaction, old: str, new: str) -> None:
    """Rename a class with its objects and the links to it; an empty class of the new name gives way.

    The class gets all properties that the one of the new name had.

    Raises:
        SchemaError: The old one is absent, or the new one has objects, another kind or another key.
    """
    store = transaction.store
    if old not in store.tables:
        raise SchemaError(f"there is no class {old} to rename")
    wanted = store.schema.classes.get(new)
    if wanted is not None:
        schema = store.schema[old]
        if wanted.kind is not schema.kind or wanted.key_property != schema.key_property:
            raise SchemaError(f"class {old} cannot be renamed to {new}, which is of another kind or has another key")
        transaction.flush()
        if store.tables[new].count():
            raise SchemaError(f"class {old} cannot be renamed to {new}, which has objects already")
        transaction.erase_class(new)
    transaction.flush()
    ident = store.tables[old].id
    transaction.connection.execute("UPDATE _classes SET name=? WHERE id=?", (new, ident))
    transaction.connection.execute("UPDATE _properties SET target=? WHERE target=?", (new, old))
    transaction.reload_schema()
    for one in wanted.properties.values() if wanted is not None else ():
        before = store.schema[new].properties.get(one.name)
        if before is None:
            transaction.add_property(new, one)
        elif (before.type, before.collection, before.target, before.nullable) != (
            one.type,
            one.collection,
            one.target,
            one.nullable,
        ):
            change_property(transaction, new, one)
        elif one.indexed and not before.indexed and one.name != wanted.key:  # type: ignore[union-attr]
            transaction.set_indexed(new, one.name, indexed=True)


def copy_links(transaction: WriteTransaction, old: Store, class_name: str, name: str) -> None:
    """Take the links of a property from the file as it was, where the property leads to a renamed class."""
    transaction.flush()
    connection = transaction.connection
    before, after = old.tables[class_name], transaction.store.tables[class_name]
    if name in after.sides:
        target = quote(after.sides[name].name)
        rows = old.connection.execute(f"SELECT * FROM {quote(before.sides[name].name)}").fetchall()
        connection.execute(f"DELETE FROM {target}")
        if rows:
            connection.executemany(f"INSERT INTO {target} VALUES({','.join('?' * len(rows[0]))})", rows)
        return
    column = quote(before.columns[name].name)
    rows = old.connection.execute(
        f"SELECT {column}, _row FROM {quote(before.name)} WHERE {column} IS NOT NULL"
    ).fetchall()
    sql = f"UPDATE {quote(after.name)} SET {quote(after.columns[name].name)}=? WHERE _row=?"
    connection.executemany(sql, rows)
