"""The models and rules of the examples let through what their texts say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from examples.field_service import model as field_service
from examples.medical import model as medical
from hinterland.permissions.policy import Policy
from hinterland.permissions.rules_document import check_rules, parse_rules
from hinterland.permissions.subject import Json, Subject
from hinterland.query import compile_query, parse
from hinterland.query.ast import Query
from hinterland.store.access_state import StoreAccess
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@dataclass
class Settings:
    """Stands where the synchronising side puts its settings."""

    user: Subject


def as_user(path: Path, schema: list[Any], identity: str) -> hl.Realm:
    return hl.Realm.open(hl.Configuration(path, schema=schema, sync=Settings(Subject(identity)), durable=False))


def seen(path: Path, subject: Subject, class_name: str, column: str, rules: str = "") -> set[Any]:
    """Return the values of a property of all objects that a user sees."""
    store = Store.open(path)
    try:
        policy = Policy.resolve(subject, StoreAccess(store), parse_rules(rules) if rules else None)
        text = policy.of(class_name).readable_text
        statement = compile_query(parse(text) if text else Query(()), StoreCatalog(store), class_name)
        sql, parameters = statement.select(f't."{column}"')
        return {value for (value,) in store.connection.execute(sql, parameters).fetchall()}
    finally:
        store.close()


# -- field service ---------------------------------------------------------------------------------


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "a.hldb"
    with as_user(path, field_service.SCHEMA, "boss") as realm:
        field_service.prepare(realm, ["dee"], {"north": ["ada", "bob"], "south": ["eve"]})
    with as_user(path, field_service.SCHEMA, "ada") as realm:
        field_service.open_ticket(realm, "leak", "north")
        field_service.open_ticket(realm, "roof", "south")
    return path


@pytest.mark.parametrize(
    ("identity", "titles"),
    [("ada", {"leak"}), ("bob", {"leak"}), ("eve", {"roof"}), ("dee", {"leak", "roof"}), ("boss", set())],
)
def test_a_ticket_is_seen_by_its_crew_and_the_dispatch(tickets: Path, identity: str, titles: set[str]) -> None:
    """Not even an admin of the realm sees what was not given to it; an admin of the server does."""
    assert seen(tickets, Subject(identity), "Ticket", "title") == titles
    assert seen(tickets, Subject(identity, is_admin=True), "Ticket", "title") == {"leak", "roof"}


def test_the_app_knows_what_its_user_may_do(tickets: Path) -> None:
    """So it can show buttons that work."""
    with as_user(tickets, field_service.SCHEMA, "bob") as realm:
        ticket = realm.objects(field_service.Ticket).filter(title="leak").first()
        found = realm.privileges(ticket)
        assert (found.can_read, found.can_update, found.can_delete, found.can_set_permissions) == (
            True,
            True,
            False,
            False,
        )
        assert not realm.privileges(field_service.Customer).can_create
        assert realm.privileges(field_service.Ticket).can_create
        assert not realm.privileges().can_modify_schema


# -- medical ---------------------------------------------------------------------------------------

RULES = (EXAMPLES / "medical" / "rules.toml").read_text()
DOCTOR: dict[str, Json] = {"role": "doctor", "wards": ["A", "B"]}
NURSE: dict[str, Json] = {"role": "nurse", "wards": ["A"]}


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    path = tmp_path / "a.hldb"
    with hl.Realm.open(path, schema=medical.SCHEMA, durable=False) as realm, realm.write():
        for number, (user, ward) in enumerate([("pat", "A"), ("kim", "B"), (None, "C")]):
            patient = realm.add(medical.Patient(number=number, user=user, ward=ward, diagnosis="x", remarks="y"))
            realm.add(medical.Reading(patient=patient, kind=f"pulse {number}", taken_by="n"))
    return path


def test_the_rules_fit_the_model(hospital: Path) -> None:
    """Names and types are those of the classes."""
    store = Store.open(hospital)
    assert check_rules(parse_rules(RULES), store.schema) == []
    store.close()


@pytest.mark.parametrize(
    ("identity", "custom", "patients", "readings"),
    [
        ("d", DOCTOR, {0, 1}, {"pulse 0", "pulse 1"}),
        ("n", NURSE, {0}, {"pulse 0"}),
        ("d", {"role": "doctor"}, set(), set()),
        ("pat", {}, {0}, {"pulse 0"}),
        ("kim", {"wards": ["A"]}, {1}, {"pulse 1"}),
        ("stranger", {}, set(), set()),
    ],
)
def test_each_role_sees_its_own_part(
    hospital: Path, identity: str, custom: dict[str, Json], patients: set[int], readings: set[str]
) -> None:
    """Doctors and nurses their wards, patients themselves; without metadata nobody is staff."""
    subject = Subject(identity, custom=custom)
    assert seen(hospital, subject, "Patient", "number", RULES) == patients
    assert seen(hospital, subject, "Reading", "kind", RULES) == readings


def test_remarks_are_hidden_from_patients_and_diagnoses_are_the_doctors(hospital: Path) -> None:
    """Rules of single properties."""
    store = Store.open(hospital)
    state, rules = StoreAccess(store), parse_rules(RULES)
    patient = Policy.resolve(Subject("pat"), state, rules).of("Patient")
    nurse = Policy.resolve(Subject("n", custom=NURSE), state, rules).of("Patient")
    doctor = Policy.resolve(Subject("d", custom=DOCTOR), state, rules).of("Patient")
    assert (patient.hidden, nurse.hidden, doctor.hidden) == ({"remarks"}, set(), set())
    assert nurse.fixed == {"diagnosis", "user", "ward"}
    assert doctor.fixed == set()
    store.close()
