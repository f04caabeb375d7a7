"""Compacting, copying, exporting and importing realms, and damaged files."""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.cli import main
from hinterland.errors import (
    CorruptFileError,
    HinterlandError,
    SchemaError,
    StorageError,
    UsageError,
    ValueTypeError,
)
from hinterland.store.export import digest_state


def fill(realm: hl.Realm) -> None:
    """Put every kind of value into a realm."""
    with realm.write():
        acme = Company(name="Acme", website="x")
        ada = Person(
            name="Ada ☕",
            age=-(2**63),
            height=float("inf"),
            weight=hl.float32(1.5),
            photo=b"\x00\xff",
            born=datetime(1815, 12, 10, tzinfo=UTC),
            died=hl.Timestamp(-5, -7),
            badge=UUID(int=7),
            device=hl.new_object_id(),
            balance=Decimal("12.340"),
            employer=acme,
            tags=["b", "a"],
            scores={"x": 1},
            home=Address(street="Via", owner=acme),
            places=[Address(street="One"), Address(street="Two")],
            by_label={"w": Address(street="Work"), "n": None},
            favourites=[acme],
            known_as={"me": None},
        )
        realm.add(ada)
        ada.friends.extend([ada, Person(name="Bob")])
        realm.add_all(Person(name=f"p{number}" * 50) for number in range(3000))


def export(realm: hl.Realm) -> str:
    """Return a realm as JSON text."""
    stream = io.StringIO()
    realm.export_json(stream)
    return stream.getvalue()


def test_compacting_gives_space_back(realm: hl.Realm) -> None:
    """After deleting much, compact makes the file smaller and keeps what is left."""
    fill(realm)
    with realm.write():
        realm.delete(realm.objects(Person).filter("age == 0"))
    before = realm.file_size
    (ada,) = realm.objects(Person)
    assert realm.compact() is True
    assert realm.file_size < before / 4
    assert ada.employer == realm.object(Company, "Acme")
    with realm.write(), pytest.raises(UsageError, match="inside a write transaction"):
        realm.compact()


def test_compacting_waits_for_other_readers(realm: hl.Realm, another: Any) -> None:
    """While another instance reads the file, compact does nothing and says so."""
    other = another()
    assert realm.compact() is False
    other.close()
    assert realm.compact() is True


def test_compacting_on_launch(path: Path) -> None:
    """The program decides from total and used bytes, when the first instance opens the file."""
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        fill(realm)
        with realm.write():
            realm.objects(Person).delete_all()
    asked: list[tuple[int, int]] = []

    def decide(total: int, used: int) -> bool:
        asked.append((total, used))
        return used < total / 2

    with hl.Realm.open(path, schema=SCHEMA, compact_on_launch=decide) as realm:
        ((total, used),) = asked
        assert total > 2 * used
        assert realm.file_size < total / 2
        hl.Realm.open(path, schema=SCHEMA, compact_on_launch=decide).close()
        assert len(asked) == 1


def test_copies(realm: hl.Realm, tmp_path: Path, another: Any) -> None:
    """A copy holds the version that the realm reads, opens read-only in place, and can be written to."""
    fill(realm)
    copy = tmp_path / "copy.hldb"
    with another() as other, other.write():
        other.add(Person(name="later"))
    realm.write_copy(copy)
    assert [one.name for one in tmp_path.glob("copy*")] == ["copy.hldb"]
    with hl.Realm.open(copy, schema=SCHEMA, read_only=True) as bundled:
        assert digest_state(bundled._store) == digest_state(realm._store)
    with hl.Realm.open(copy, schema=SCHEMA) as mine, mine.write():
        mine.add(Person(name="Eve"))
    with pytest.raises(StorageError, match="exists; delete it first"):
        realm.write_copy(copy)
    with pytest.raises(StorageError, match="cannot be written|cannot be opened|unable to open"):
        realm.write_copy(tmp_path / "absent" / "x.hldb")


def test_export_and_import_keep_everything(realm: hl.Realm, tmp_path: Path) -> None:
    """A new realm made of an export has the same classes, objects, links and values."""
    fill(realm)
    text = export(realm)
    assert json.loads(text)["count"] == 3003
    seen: list[tuple[int, int]] = []
    with hl.Realm.open(tmp_path / "new.hldb", durable=False) as new:
        assert new.import_json(io.StringIO(text), progress=lambda done, total: seen.append((done, total))) == 3003
        assert digest_state(new._store) == digest_state(realm._store)
        assert seen[-1] == (3003, 3003)
        assert len(seen) > 2
        new.import_json(io.StringIO(json.dumps(json.loads(text), indent=1)))
        assert digest_state(new._store) == digest_state(realm._store)
    with hl.Realm.open(tmp_path / "new.hldb", schema=SCHEMA) as new:
        ada = new.objects(Person).filter("age < 0")[0]
        assert (ada.height, ada.died, ada.friends[0]) == (float("inf"), hl.Timestamp(-5, -7), ada)


def test_mixed_values_survive_export(tmp_path: Path) -> None:
    """Mixed values of all types, links and nested collections come back equal."""

    class Thing(hl.Object):
        key: int = hl.field(primary_key=True)
        value: hl.Mixed = None
        many: hl.List[hl.Mixed]

    values: list[Any] = [None, True, 5, "x", 2.5, b"y", hl.Timestamp(1, 2), Decimal("1.50"), UUID(int=1)]
    values += [hl.float32(0.5), hl.new_object_id(), {"a": [1, {"b": None}], "c": {}}, [[], 1]]
    with hl.Realm.open(tmp_path / "a.hldb", schema=[Thing]) as one, hl.Realm.open(tmp_path / "b.hldb") as two:
        with one.write():
            one.add_all(Thing(key=number, value=value, many=values) for number, value in enumerate(values))
            one.object(Thing, 0).value = one.object(Thing, 1)
        two.import_json(io.StringIO(export(one)))
        assert digest_state(one._store) == digest_state(two._store)


def test_importing_into_a_synchronised_realm_is_recorded(realm: hl.Realm, recording: Any) -> None:
    """Where changesets are recorded, an import makes them, one for each thousand objects."""
    fill(realm)
    target, changesets = recording
    assert target.import_json(io.StringIO(export(realm))) == 3003
    assert len(changesets) == 4
    assert digest_state(target._store) == digest_state(realm._store)


BAD = [
    ("", "ends too early"),
    ("[]", "expected {"),
    ('{"hinterland": 2, "objects": []}', "not an export"),
    ('{"hinterland": 1, "schema": 5, "objects": []}', "schema cannot be read"),
    ('{"hinterland": 1, "schema": [], "objects": [["Company", "x", {"website": 5}]]}', "website: expected str"),
    ('{"hinterland": 1, "schema": [], "objects": [["Company", "x", {"nothing": 5}]]}', "nothing: there is no such"),
    ('{"hinterland": 1, "schema": [], "objects": [["Nobody", "x", {}]]}', r"is not \[class, key, properties\]"),
    ('{"hinterland": 1, "schema": [], "objects": [["Company", 5, {}]]}', "expected str"),
    ('{"hinterland": 1, "schema": [], "objects": [["Person", "zz", {}]]}', "no object_id"),
    ('{"hinterland": 1, "schema": [], "objects": [["Company", "x", {}]', "ends too early"),
    ('{"hinterland": 1, "schema": [], "objects": [["Company", "x", {', "incomplete"),
]


@pytest.mark.parametrize("text, message", BAD, ids=[one[1] for one in BAD])
def test_bad_documents_change_nothing(realm: hl.Realm, text: str, message: str) -> None:
    """A document that is malformed or does not fit is refused, and nothing of it stays."""
    version = realm.version
    with pytest.raises(ValueTypeError, match=message):
        realm.import_json(io.StringIO(text))
    assert realm.version == version
    assert len(realm.objects(Company)) == 0


def test_a_document_with_other_types_is_refused(realm: hl.Realm, tmp_path: Path) -> None:
    """A property of another type than the realm's is a SchemaError."""

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)
        website: int = 0

    with hl.Realm.open(tmp_path / "b.hldb", schema=[Company]) as other, pytest.raises(SchemaError, match="website"):
        other.import_json(io.StringIO(export(realm)))


# -- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound file without log."""
    folder = tmp_path_factory.mktemp("sound")
    with hl.Realm.open(folder / "a.hldb", schema=SCHEMA, durable=False) as realm:
        fill(realm)
        realm.write_copy(folder / "b.hldb")
    return (folder / "b.hldb").read_bytes()


@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_a_truncated_file_is_refused(sound: bytes, path: Path, share: float) -> None:
    """A file that is shorter than it says is CorruptFileError when it is opened, and stays as it is."""
    cut = sound[: int(len(sound) * share)]
    path.write_bytes(cut)
    with pytest.raises(CorruptFileError, match="is damaged"):
        hl.Realm.open(path, schema=SCHEMA)
    assert path.read_bytes() == cut
    assert main(["realms", "check", str(path)]) == 1


def test_flipped_bits_give_our_errors_only(sound: bytes, path: Path) -> None:
    """Whatever bit flips, reading everything gives values or an error of ours, never another exception."""
    source = random.Random(3)
    refused = 0
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(8):
            # Half of the flips hit the pages that say how the file is built.
            place = source.randrange(16_384 if source.random() < 0.5 else len(damaged))
            damaged[place] ^= 1 << source.randrange(8)
        for name in path.parent.glob("people*"):
            name.unlink()
        path.write_bytes(damaged)
        try:
            with hl.Realm.open(path, schema=SCHEMA) as realm:
                for person in realm.objects(Person).sorted("name"):
                    _ = person.age, person.born, person.balance, list(person.friends), list(person.tags)
                len(realm.objects(Person).filter("employer.name == 'Acme'"))
        except HinterlandError:
            refused += 1
    assert refused > 10


def test_check_tells_sound_from_damaged_files(
    sound: bytes, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`hinterland realms check` finds nothing in a sound file, and names what is wrong in others."""
    path.write_bytes(sound)
    assert main(["realms", "check", str(path)]) == 0
    assert "no damage found" in capsys.readouterr().out
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        connection = realm._store.connection
        connection.execute("COMMIT")
        connection.execute("UPDATE Person SET employer=999, badge=x'00' WHERE _row=1")
        connection.execute("BEGIN")
    assert main(["realms", "check", "--json", str(path)]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any("Person.employer of row 1 links to row 999" in one for one in problems)
    assert any("Person.badge of row 1 is no uuid" in one for one in problems)
    text = tmp_path / "text"
    text.write_text("no database" * 100)
    assert main(["realms", "check", str(text)]) == 1
    assert main(["realms", "check", str(tmp_path / "absent")]) == 1
