"""Reading rules, and checking them against a schema: every mistake is named with its place."""

from __future__ import annotations

import json

import pytest

from hinterland.errors import ConfigurationError, RulesError
from hinterland.permissions.rules import NO_ROLE, FieldRule
from hinterland.permissions.rules_document import check_rules, parse_rules
from hinterland.permissions.subject import Subject
from hinterland.query.ast import Truth
from hinterland.query.description import describe
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import ClassKind, PropertyType

DOCUMENT = """
[[classes.Patient]]
name = "doctor"
apply_when = "$user.custom.role == 'doctor'"
read = "ward IN $user.custom.wards"
write = "ward IN $user.custom.wards"
delete = false

[[classes.Patient]]
name = "nurse"
apply_when = "$user.custom.role == 'nurse'"
read = "ward IN $user.custom.wards"
write = "ward IN $user.custom.wards"
insert = false
delete = false
fields.diagnosis = { write = false }
fields.notes = { read = false, write = false }

[[classes.Patient]]
name = "patient"
read = "owner == $user.id"
other_fields = { write = false }

[[default]]
read = true
"""

SCHEMA = Schema.of(
    [
        ClassSchema(
            "Patient",
            key="_id",
            properties={
                name: Property(name, kind)
                for name, kind in {
                    "_id": PropertyType.INT,
                    "ward": PropertyType.STRING,
                    "owner": PropertyType.STRING,
                    "diagnosis": PropertyType.STRING,
                    "notes": PropertyType.STRING,
                }.items()
            },
        ),
        ClassSchema("Ward", key="name", properties={"name": Property("name", PropertyType.STRING)}),
        ClassSchema("Place", kind=ClassKind.EMBEDDED, properties={"x": Property("x", PropertyType.INT)}),
    ]
)


def test_a_document_is_read() -> None:
    """Defaults: everything may be read, nothing written, and what may be written also created and deleted."""
    rules = parse_rules(DOCUMENT)
    doctor, nurse, patient = rules.classes["Patient"]
    assert [one.name for one in (doctor, nurse, patient, *rules.default)] == ["doctor", "nurse", "patient", "role 1"]
    assert describe(doctor.read) == "ward IN $user.custom.wards"
    assert (doctor.insert, doctor.delete) == (Truth(value=True), Truth(value=False))
    assert patient.write == Truth(value=False)
    assert nurse.rule_of("diagnosis") == FieldRule(read=True, write=False)
    assert nurse.rule_of("notes") == FieldRule(read=False, write=False)
    assert nurse.rule_of("ward") == FieldRule(read=True, write=True)
    assert patient.rule_of("ward") == FieldRule(read=True, write=False)
    assert not rules.allow_schema_changes
    assert check_rules(rules, SCHEMA) == []


def test_json_is_read_like_toml() -> None:
    """A document that starts with a brace is JSON."""
    text = json.dumps({"allow_schema_changes": True, "classes": {"Ward": [{"name": "all", "write": True}]}})
    rules = parse_rules(text)
    assert rules.allow_schema_changes
    assert rules.classes["Ward"][0].write == Truth(value=True)
    assert rules.default == ()


@pytest.mark.parametrize(
    ("custom", "class_name", "expected"),
    [
        ({"role": "doctor"}, "Patient", "doctor"),
        ({"role": "nurse"}, "Patient", "nurse"),
        ({"role": "other"}, "Patient", "patient"),
        ({}, "Patient", "patient"),
        ({"role": "doctor"}, "Ward", "role 1"),
    ],
)
def test_the_first_role_that_applies_is_the_users(custom: dict[str, str], class_name: str, expected: str) -> None:
    """Rules of a class replace those of other classes as a whole (flx.md §3.1)."""
    assert parse_rules(DOCUMENT).role_of(Subject("u", custom=custom), class_name).name == expected


def test_without_a_role_there_is_no_access() -> None:
    """A class of which no role applies, or that has no roles, is closed."""
    rules = parse_rules('[[classes.Patient]]\nname = "x"\napply_when = "$user.id == \'y\'"\n[classes]\nWard = []\n')
    assert rules.role_of(Subject("u"), "Patient") is NO_ROLE
    assert rules.role_of(Subject("u"), "Ward") is NO_ROLE
    assert rules.role_of(Subject("u"), "Other") is NO_ROLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
        ("classes = 5", "rules: classes must be a table"),
        ("class = 5", "there is no 'class' here; did you mean 'classes'"),
        ("allow_schema_changes = 1", "allow_schema_changes must be true or false"),
        ("[classes]\nA = 5", r"classes.A: a list of roles is needed"),
        ("[classes]\nA = [5]", r"classes.A\[0\]: a table with name, apply_when"),
        ("[[classes.__Role]]\nread = true", "classes.__Role: rules cannot speak"),
        ("[[classes.A]]\nreed = true", r"classes.A\[0\]: there is no 'reed' here; did you mean 'read'"),
        ("[[classes.A]]\nname = 3", r"classes.A\[0\]: name must be a text"),
        ("[[classes.A]]\nname = 'x'\n[[classes.A]]\nname = 'x'", r"classes.A\[1\]: there is another role named 'x'"),
        ("[[classes.A]]\nname = 'x'\nread = 3", r"classes.A\[0\] \(x\): read must be true, false or a condition"),
        ("[[classes.A]]\nname = 'x'\nread = 'a =='", r"classes.A\[0\] \(x\): read: .*\n    a ==\n +\^"),
        ("[[classes.A]]\nread = 'a == 1 SORT(a ASC)'", "SORT cannot be part of a rule"),
        ("[[classes.A]]\nread = 'a == 1 LIMIT(3)'", "LIMIT cannot be part of a rule"),
        ("[[classes.A]]\nread = 'a == $user.nme'", r"read: a value of the user is \$user.id"),
        ("[[classes.A]]\napply_when = 'a == 1'", "apply_when: compare values of the user with constants"),
        ("[[default]]\nfields = 3", r"default\[0\] \(role 1\): fields must be a table"),
        ("[[default]]\nfields.a = true", r"fields.a: a table with read, write is needed"),
        ("[[default]]\nfields.a = { read = false, write = true }", "who may write a property may read it"),
        ("[[default]]\nother_fields = { read = 'x' }", "other_fields: read must be true or false"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str) -> None:
    """Nothing is taken for something else in silence."""
    with pytest.raises(RulesError, match=message):
        parse_rules(text)


def test_rules_are_configuration() -> None:
    """The operator must act, so the command line ends with its status for that; the source is named."""
    with pytest.raises(ConfigurationError, match="^app.toml: "):
        parse_rules("x = 1", source="app.toml")


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("[[classes.Patent]]\nread = true", "classes.Patent: the realm has no such class; did you mean 'Patient'"),
        ("[[classes.Patient]]\nfields.diagnose = {}", "fields.diagnose: no such property; did you mean 'diagnosis'"),
        ("[[classes.Patient]]\nfields._id = {}", "fields._id: the primary key has no rule"),
        ("[[classes.Patient]]\nread = 'wart == 1'", "read: "),
        ("[[classes.Patient]]\nwrite = 'ward == 1'", "write: "),
        ("[[classes.Patient]]\nread = 'owner == $user.id AND wart == $user.id'", "'wart'"),
        ("[[classes.Patient]]\nread = 'ward > $user.custom.x AND _id CONTAINS $user.id'", "read: "),
        ("[[default]]\nread = 'owner == $user.id'", "default (role 1), class Ward: read: "),
    ],
)
def test_rules_are_checked_against_a_schema(rules: str, problem: str) -> None:
    """Names and types that do not fit are found before anybody connects."""
    found = check_rules(parse_rules(rules), SCHEMA)
    assert any(problem in one for one in found), found


CONSTANTS = {
    PropertyType.DECIMAL: ("0", "1.5", "inf"),
    PropertyType.MIXED: ("0", "'a'", "oid(000000000000000000000001)", "uuid(00000000-0000-0000-0000-000000000001)"),
    PropertyType.TIMESTAMP: ("2024-01-05@00:00:00",),
    PropertyType.UUID: ("uuid(00000000-0000-0000-0000-000000000001)",),
    PropertyType.OBJECT_ID: ("oid(000000000000000000000001)",),
    PropertyType.DOUBLE: ("0", "1.5"),
}


@pytest.mark.parametrize("kind", CONSTANTS)
@pytest.mark.parametrize("operator", ["==", "!=", ">", "<=", "IN"])
def test_constants_of_all_types_fit(kind: PropertyType, operator: str) -> None:
    """A document is checked without a file, so no value has its stored form."""
    schema = Schema.of([ClassSchema("Thing", properties={"value": Property("value", kind, nullable=True)})])
    for constant in CONSTANTS[kind]:
        value = f"{{{constant}, {constant}}}" if operator == "IN" else constant
        assert check_rules(parse_rules(f'[[classes.Thing]]\nread = "value {operator} {value}"'), schema) == []


def test_embedded_classes_have_no_rules() -> None:
    """Their objects are parts of their owners; a rule that does nothing must not look as if it did."""
    schema = Schema.of([*SCHEMA, ClassSchema("Address", ClassKind.EMBEDDED)])
    assert check_rules(parse_rules("[[classes.Address]]\nread = false"), schema) == [
        "classes.Address: embedded objects are seen and changed as parts of their owners"
    ]


def test_the_place_of_a_wrong_name_is_shown() -> None:
    """The message shows the text of the condition with a mark under the name."""
    (found,) = check_rules(parse_rules("[[classes.Patient]]\nread = 'owner == $user.id AND wart == 1'"), SCHEMA)
    lines = found.splitlines()
    assert lines[-1].index("^") == lines[-2].index("wart")
