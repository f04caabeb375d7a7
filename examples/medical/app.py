"""What runs on the devices of a hospital: one program for doctors, nurses and patients."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import hinterland as hl
from examples.medical.model import SCHEMA, Patient, Reading

PATH = "/hospital"

ErrorHandler = Callable[[hl.Session, hl.HinterlandError], object]


def open_hospital(user: hl.SyncUser, on_error: ErrorHandler | None = None, path: str = PATH) -> hl.Realm:
    """Open the records. Everybody asks for all; the server sends what the rules let the user read."""
    return hl.Realm.open(
        user.configuration(path, SCHEMA, sync="query", initial_subscriptions=subscribe, error_handler=on_error)
    )


def subscribe(realm: hl.Realm) -> None:
    """Ask for all patients, with what was measured of them."""
    realm.objects(Patient).subscribe("patients", include=["@links.Reading.patient"])


def admit(realm: hl.Realm, number: int, name: str, ward: str, user: str | None = None) -> Patient:
    """Add a patient, who may have an account of his own."""
    with realm.write():
        return realm.add(Patient(number=number, name=name, ward=ward, user=user))


def measure(realm: hl.Realm, patient: Patient, kind: str, value: float, taken_by: str) -> Reading:
    """Note a measurement; the rules see to it that nobody notes one in the name of others."""
    with realm.write():
        reading = Reading(patient=patient, kind=kind, value=value, taken=datetime.now(UTC), taken_by=taken_by)
        return realm.add(reading)


def find(realm: hl.Realm, name: str) -> Patient | None:
    """Return the patient of that name, if it is on this device."""
    return realm.objects(Patient).filter(name=name).first()


def records(realm: hl.Realm) -> list[str]:
    """Return a line for each patient on this device."""
    return [
        f"{one.name}, ward {one.ward}: {one.diagnosis or '-'} ({one.remarks or '-'}),"
        f" readings: {len(realm.objects(Reading).filter(patient=one))}"
        for one in realm.objects(Patient).sorted("number")
    ]
