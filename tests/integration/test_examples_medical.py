"""The medical example, end to end: what each role sees and changes follows from rules on the server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.example_world import Told, run_example, server
from tests.integration.sync_world import TIMEOUT_S, eventually, exchange

import hinterland as hl
from examples.local_server import LocalServer
from examples.medical.__main__ import found_hospital, staff
from examples.medical.app import find, measure, open_hospital
from examples.medical.model import Patient, Reading
from hinterland.sync.session import SessionRegistry

__all__ = ["server"]

REMARKS = "worries too much"


@dataclass
class Hospital:
    """Dora is the doctor of both wards, Nils the nurse of ward A; Pat is a patient in A, Quinn one in B."""

    server: LocalServer
    users: dict[str, hl.SyncUser]
    realms: dict[str, hl.Realm] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)

    def __getitem__(self, name: str) -> hl.Realm:
        return self.realms[name]

    def exchange(self) -> None:
        exchange(*self.realms.values())

    def seen(self) -> dict[str, set[str]]:
        for realm in self.realms.values():
            realm.refresh()
        return {name: {one.name for one in realm.objects(Patient)} for name, realm in self.realms.items()}


@pytest.fixture(scope="module")
def users(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, hl.SyncUser]]:
    """The people of the hospital, each with a device."""
    hl.sync_directory(tmp_path_factory.mktemp("devices"))
    yield {name: server.register(name) for name in ("dora", "nils", "pat")}
    SessionRegistry.stop_all()


@pytest.fixture
def hospital(server: LocalServer, users: dict[str, hl.SyncUser]) -> Iterator[Hospital]:
    """A hospital for each test."""
    made = Hospital(server, users)
    path = f"/hospital/{uuid.uuid4().hex}"
    staff(server, "dora", "doctor", '["A", "B"]')
    staff(server, "nils", "nurse", '["A"]')
    server.operate("users", "metadata", "pat", "--remove", "role", "--remove", "wards")
    found_hospital(server, users["pat"].identity, path)
    for name, user in users.items():
        made.told[name] = Told()
        made.realms[name] = open_hospital(user, made.told[name], path)
    made.exchange()
    yield made
    for realm in made.realms.values():
        realm.close()


def there(realm: hl.Realm, name: str) -> Patient:
    patient = find(realm, name)
    assert patient is not None
    return patient


def test_each_role_sees_its_own_part(hospital: Hospital) -> None:
    """Staff see the patients of their wards, patients themselves, and nothing of the remarks reaches their device."""
    assert hospital.seen() == {"dora": {"Pat", "Quinn"}, "nils": {"Pat"}, "pat": {"Pat"}}
    for name, remarks in (("dora", REMARKS), ("nils", REMARKS), ("pat", "")):
        pat = there(hospital[name], "Pat")
        assert (pat.diagnosis, pat.remarks) == ("flu", remarks)
    for realm in hospital.realms.values():
        realm.close()
    SessionRegistry.stop_all()
    holding = {name for name, realm in hospital.realms.items() if REMARKS.encode() in content(realm)}
    assert holding == {"dora", "nils"}


def content(realm: hl.Realm) -> bytes:
    """All bytes of a realm's files, which nobody has open."""
    file = Path(realm.path)
    return b"".join(one.read_bytes() for one in sorted(file.parent.glob(file.name + "*")) if one.is_file())


def test_who_asks_for_what_is_hidden_is_refused(hospital: Hospital) -> None:
    """A query could tell what a property says, so it is refused."""
    asked = hospital["pat"].objects(Patient).filter("remarks CONTAINS 'worries'").subscribe("nosy")
    with pytest.raises(hl.SubscriptionRefusedError):
        asked.wait(TIMEOUT_S)
    hospital["pat"].subscriptions.remove("nosy")
    hospital["pat"].subscriptions.wait(TIMEOUT_S)
    assert hospital.seen()["pat"] == {"Pat"}


def change(realm: hl.Realm, name: str, **values: object) -> None:
    with realm.write():
        for attribute, value in values.items():
            setattr(there(realm, name), attribute, value)


@pytest.mark.parametrize("name", ["nils", "pat"])
def test_what_the_rules_forbid_is_undone(hospital: Hospital, name: str) -> None:
    """A nurse's diagnosis, a patient's anything: back as it was, with a report; the doctor never sees it."""
    realm = hospital[name]
    for values in ({"diagnosis": "laziness"}, {"ward": "B"}, {"user": None}):
        change(realm, "Pat", **values)
        hospital.exchange()
        assert hospital.told[name].take() == [("Patient", 1)]
        for each in ("dora", name):
            pat = there(hospital[each], "Pat")
            assert (pat.diagnosis, pat.ward, pat.user) == ("flu", "A", hospital.users["pat"].identity)
    with realm.write():
        realm.add(Patient(number=3, name="Nobody", ward="A"))
    hospital.exchange()
    assert hospital.told[name].take() == [("Patient", 3)]
    assert hospital.seen() == {"dora": {"Pat", "Quinn"}, "nils": {"Pat"}, "pat": {"Pat"}}


def test_nurses_note_what_they_measured(hospital: Hospital) -> None:
    """Also offline; in their own name only, and patients see it."""
    nils = hospital["nils"]
    nils.session.pause()
    measure(nils, there(nils, "Pat"), "pulse", 71, hospital.users["nils"].identity)
    change(nils, "Pat", remarks="is fine")
    nils.session.resume()
    hospital.exchange()
    assert hospital.told["nils"] == Told()
    assert {name: [one.value for one in realm.objects(Reading)] for name, realm in hospital.realms.items()} == {
        name: [71] for name in hospital.realms
    }
    assert there(hospital["dora"], "Pat").remarks == "is fine"
    assert there(hospital["pat"], "Pat").remarks == ""

    measure(nils, there(nils, "Pat"), "pulse", 171, hospital.users["dora"].identity)
    hospital.exchange()
    assert [class_name for class_name, _ in hospital.told["nils"].take()] == ["Reading"]
    assert [one.value for one in nils.objects(Reading)] == [71]


def test_a_patient_is_moved_to_another_ward(hospital: Hospital) -> None:
    """The one ward loses him with all that was measured, and the other gets both; nobody moves him out of all wards."""
    dora, nils, pat = (hospital[name] for name in ("dora", "nils", "pat"))
    measure(dora, there(dora, "Pat"), "pulse", 71, hospital.users["dora"].identity)
    measure(dora, there(dora, "Quinn"), "pulse", 99, hospital.users["dora"].identity)
    hospital.exchange()
    assert [one.value for one in nils.objects(Reading)] == [71]

    change(dora, "Pat", ward="B")
    eventually(lambda: hospital.seen()["nils"] == set(), "Pat leaving")
    assert len(nils.objects(Reading)) == 0
    change(dora, "Quinn", ward="A")
    eventually(lambda: hospital.seen()["nils"] == {"Quinn"}, "Quinn appearing")
    assert [one.value for one in nils.objects(Reading)] == [99]
    eventually(lambda: pat.refresh() or there(pat, "Pat").ward == "B", "Pat being told")

    change(dora, "Pat", ward="C")
    hospital.exchange()
    assert hospital.told["dora"].take() == [("Patient", 1)]
    assert there(dora, "Pat").ward == there(pat, "Pat").ward == "B"


def test_who_works_elsewhere_sees_others(hospital: Hospital) -> None:
    """New wards and another role reach a connected device at once; without a role nothing stays."""
    staff(hospital.server, "nils", "nurse", '["A", "B"]')
    eventually(lambda: hospital.seen()["nils"] == {"Pat", "Quinn"}, "Quinn appearing")
    staff(hospital.server, "nils", "nurse", '["B"]')
    eventually(lambda: hospital.seen()["nils"] == {"Quinn"}, "Pat leaving")
    staff(hospital.server, "nils", "doctor", '["B"]')
    hospital.server.operate("users", "metadata", "pat", "--set", "role=doctor", "--set", 'wards=["A"]')
    eventually(lambda: hospital["pat"].refresh() or there(hospital["pat"], "Pat").remarks == REMARKS, "the remarks")
    hospital.server.operate("users", "metadata", "nils", "--remove", "role", "--remove", "wards")
    eventually(lambda: hospital.seen()["nils"] == set(), "Quinn leaving")
    assert hospital.seen() == {"dora": {"Pat", "Quinn"}, "nils": set(), "pat": {"Pat"}}


def test_the_example_runs() -> None:
    """As its page says, in a checkout."""
    printed = run_example("medical")
    assert "undone: Patient 1" in printed
    assert "on his device it is flu" in printed
    assert printed.rstrip().endswith("pat: Pat, ward B: flu (-), readings: 1")
