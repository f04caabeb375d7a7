"""Rules as people write them: a TOML or JSON document, read and checked.

    allow_schema_changes = false

    [[classes.Patient]]
    name = "nurse"
    apply_when = "$user.custom.role == 'nurse'"
    read = "ward IN $user.custom.wards"
    write = "ward IN $user.custom.wards"
    insert = false
    delete = false
    fields.diagnosis = { read = true, write = false }
    other_fields = { read = true, write = true }

    [[default]]
    name = "everybody"
    read = true

Every filter is true, false or a condition in the Realm Query Language.

Source: spec flx.md §3.1.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hinterland.errors import QueryError, RulesError
from hinterland.permissions.rules import FieldRule, Role, Rules
from hinterland.permissions.system_classes import is_system_class
from hinterland.permissions.user_values import check_user_values, conjunction, with_samples
from hinterland.query.ast import Condition, Distinct, Limit, Query, Sort, Truth
from hinterland.query.catalog import Codec
from hinterland.query.compiler import compile_query
from hinterland.query.parser import parse
from hinterland.query.problems import did_you_mean
from hinterland.schema.types import Schema
from hinterland.values import ClassKind, PropertyType

__all__ = ["check_rules", "parse_rules", "read_rules"]

RULES_BYTES_MAX: Final = 1024 * 1024

_TOP: Final = ("allow_schema_changes", "classes", "default")
_ROLE: Final = ("name", "apply_when", "read", "write", "insert", "delete", "fields", "other_fields")
_FIELD: Final = ("read", "write")


def parse_rules(text: str, *, source: str = "rules") -> Rules:
    """Read a document in TOML, or in JSON if it starts with a brace.

    Raises:
        RulesError: Names the place and what is wrong with it.
    """
    if len(text) > RULES_BYTES_MAX:
        raise RulesError(f"{source}: a document of rules has at most {RULES_BYTES_MAX} characters")
    try:
        content: Any = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RulesError(f"{source}: neither TOML nor JSON: {error}") from None
    return read_rules(content, source=source)


def read_rules(content: Mapping[str, Any], *, source: str = "rules") -> Rules:
    """Read a document that was parsed already.

    Raises:
        RulesError: Names the place and what is wrong with it.
    """
    content = _table(content, source, _TOP)
    classes = content.get("classes", {})
    if not isinstance(classes, Mapping):
        raise RulesError(f"{source}: classes must be a table of class names, not {classes!r}")
    for name in classes:
        if is_system_class(name):
            raise RulesError(f"{source}: classes.{name}: rules cannot speak of the classes that hold permissions")
    found = {name: _roles(roles, f"{source}: classes.{name}") for name, roles in classes.items()}
    return Rules(
        found,
        _roles(content.get("default", []), f"{source}: default"),
        _flag(content, "allow_schema_changes", source, default=False),
    )


def _roles(content: object, where: str) -> tuple[Role, ...]:
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise RulesError(f"{where}: a list of roles is needed, not {content!r}")
    found: list[Role] = []
    for number, one in enumerate(content):
        role = _role(one, f"{where}[{number}]", f"role {number + 1}")
        if any(other.name == role.name for other in found):
            raise RulesError(f"{where}[{number}]: there is another role named {role.name!r}")
        found.append(role)
    return tuple(found)


def _role(content: object, where: str, name: str) -> Role:
    table = _table(content, where, _ROLE)
    given: Any = table.get("name", name)
    if not isinstance(given, str) or not given:
        raise RulesError(f"{where}: name must be a text, not {given!r}")
    where = f"{where} ({given})"
    fields = table.get("fields", {})
    if not isinstance(fields, Mapping):
        raise RulesError(f"{where}: fields must be a table of property names, not {fields!r}")
    return Role(
        given,
        _condition(table, "apply_when", where, default=True, is_about_user=True),
        _condition(table, "read", where, default=True),
        _condition(table, "write", where, default=False),
        _condition(table, "insert", where, default=True),
        _condition(table, "delete", where, default=True),
        {field: _field(rule, f"{where}: fields.{field}") for field, rule in fields.items()},
        _field(table.get("other_fields", {}), f"{where}: other_fields"),
        {key: value for key, value in table.items() if isinstance(value, str)},
    )


def _field(content: object, where: str) -> FieldRule:
    table = _table(content, where, _FIELD)
    read = _flag(table, "read", where, default=True)
    write = _flag(table, "write", where, default=read)
    if write and not read:
        raise RulesError(f"{where}: who may write a property may read it, too; leave out read = false")
    return FieldRule(read, write)


def _table(content: object, where: str, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise RulesError(f"{where}: a table with {', '.join(known)} is needed, not {content!r}")
    for name in content:
        if name not in known:
            raise RulesError(f"{where}: there is no {name!r} here{did_you_mean(str(name), known)}")
    return content


def _flag(table: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise RulesError(f"{where}: {name} must be true or false, not {value!r}")
    return value


def _condition(
    table: Mapping[str, Any], name: str, where: str, *, default: bool, is_about_user: bool = False
) -> Condition:
    value = table.get(name, default)
    if isinstance(value, bool):
        return Truth(value=value)
    if not isinstance(value, str):
        raise RulesError(f"{where}: {name} must be true, false or a condition, not {value!r}")
    try:
        query = parse(value)
        for step in query.steps:
            if isinstance(step, Sort | Distinct | Limit):
                raise QueryError(f"{type(step).__name__.upper()} cannot be part of a rule")
        condition = conjunction(*(step for step in query.steps if not isinstance(step, Sort | Distinct | Limit)))
        check_user_values(condition, value, is_about_user=is_about_user)
    except QueryError as error:
        raise RulesError(f"{where}: {name}: {error}") from None
    return condition


# -- against a schema ------------------------------------------------------------------------------


def check_rules(rules: Rules, schema: Schema) -> list[str]:
    """Return what of the rules does not fit a schema, each with its place; nothing if all does."""
    problems = []
    for class_name, roles in rules.classes.items():
        if class_name not in schema:
            hint = did_you_mean(class_name, schema.classes)
            problems.append(f"classes.{class_name}: the realm has no such class{hint}")
            continue
        if schema[class_name].kind is ClassKind.EMBEDDED:
            problems.append(f"classes.{class_name}: embedded objects are seen and changed as parts of their owners")
            continue
        for role in roles:
            problems += _problems(role, class_name, schema, f"classes.{class_name} ({role.name})")
    for one in schema:
        if one.kind is ClassKind.TOP_LEVEL and one.name not in rules.classes and not is_system_class(one.name):
            for role in rules.default:
                problems += _problems(role, one.name, schema, f"default ({role.name}), class {one.name}")
    return problems


def _problems(role: Role, class_name: str, schema: Schema, where: str) -> list[str]:
    found = []
    declared = schema[class_name]
    for name in role.fields:
        if name not in declared.properties:
            found.append(f"{where}: fields.{name}: no such property{did_you_mean(name, declared.properties)}")
        elif name == declared.key:
            found.append(f"{where}: fields.{name}: the primary key has no rule of its own")
    for name, condition in role.filters.items():
        try:
            tree = Query((with_samples(condition, class_name, schema),), role.sources.get(name))
            compile_query(tree, _Names(schema), class_name)
        except QueryError as error:
            found.append(f"{where}: {name}: {error}")
    return found


_BLOB: Final = bytes(32)
"""Stands for any value whose SQL form is a BLOB: what is compiled here is never run."""


def _blob(value: Any) -> bytes:
    return _BLOB


class _Names:
    """A catalog without a file, to check names and types."""

    codec: Final = Codec(
        dict.fromkeys((PropertyType.MIXED, PropertyType.DECIMAL), _blob), {}, str, lambda kind, raw: str(raw)
    )

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def table(self, class_name: str) -> str:
        return class_name

    def column(self, class_name: str, name: str) -> str:
        return name

    def side(self, class_name: str, name: str) -> str:
        return f"{class_name}.{name}"

    def key_column(self, class_name: str) -> str:
        return "_key"

    def text_index(self, class_name: str, name: str) -> str | None:
        return None
