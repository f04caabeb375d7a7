"""Opening realms: files, options, schemas that grow, copies in memory, deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.errors import (
    ConfigurationError,
    ForeignFileError,
    NewerFormatError,
    ReadOnlyError,
    SchemaError,
    UsageError,
)
from hinterland.realm.files import OpenFile, delete_unused

Another = Callable[[], hl.Realm]
DEADLINE_S = 20


def test_open_makes_the_file_and_reopens_it(path: Path) -> None:
    """A realm keeps its objects; the schema is written once."""
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        assert (realm.path, realm.version, realm.is_in_write, realm.session) == (str(path), 1, False, None)
        with realm.write():
            realm.add(Company(name="a"))
    with hl.Realm.open(str(path), schema=SCHEMA) as realm:
        assert realm.version == 2
        assert realm.object(Company, "a") is not None
        assert set(realm.schema.classes) == {"Company", "Address", "Person", "Event"}
    assert "closed" in repr(realm)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"schema_version": -1}, "Configuration.schema_version is an int from 0"),
    ({"max_active_versions": 0}, "Configuration.max_active_versions is at least 1"),
    ({"read_only": True, "delete_if_migration_needed": True}, "read_only and delete_if_migration_needed contradict"),
    ({"read_only": True, "in_memory": True}, "read_only and in_memory contradict"),
    ({"read_only": True, "initial_data": print}, "initial_data needs a realm that is not read_only"),
    ({"nonsense": 1}, "nonsense"),
]


@pytest.mark.parametrize("options, message", REFUSED, ids=[one[1] for one in REFUSED])
def test_wrong_configurations(path: Path, options: dict[str, Any], message: str) -> None:
    """A configuration that cannot work is refused by field, and no file is made."""
    with pytest.raises(ConfigurationError, match=message):
        hl.Realm.open(path, schema=SCHEMA, **options)
    assert not path.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A foreign, damaged or newer file raises an error that names it, and stays as it was."""
    text = tmp_path / "text"
    text.write_text("this is no database at all, but long enough to look at" * 50)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t(x)")
    newer = tmp_path / "newer.hldb"
    hl.Realm.open(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version=99")
    for file, kind in ((text, ForeignFileError), (other, ForeignFileError), (newer, NewerFormatError)):
        before = file.read_bytes()
        with pytest.raises(kind, match=file.name):
            hl.Realm.open(file, schema=SCHEMA)
        assert file.read_bytes() == before


def test_schemas_grow_on_open(path: Path) -> None:
    """Classes and properties that the file lacks are added; existing objects get defaults."""

    def old() -> type[hl.Object]:
        class Thing(hl.Object):
            extra: str = "e"
            key: str = hl.field(primary_key=True)
            b: int = 0

        return Thing

    def new() -> list[Any]:
        class Thing(hl.Object):
            key: str = hl.field(primary_key=True)
            a: float = 2.5
            b: int = hl.field(default=0, index=True)
            c: str | None = "c"
            others: hl.List[Other]

        class Other(hl.Object):
            x: int = 0

        return [Thing, Other]

    thing = old()
    with hl.Realm.open(path, schema=[thing]) as realm, realm.write():
        realm.add(thing(key="k", extra="x", b=7))
        realm.add_all([thing(key="l", b=8)])
    thing, other = new()
    with hl.Realm.open(path, schema=[thing, other]) as realm:
        version = realm.version
        found = realm.object(thing, "k")
        assert (found.a, found.b, found.c, list(found.others)) == (0.0, 7, None, [])  # type: ignore[union-attr]
        with realm.write():
            realm.add(thing(key="m", b=9, others=[other(x=1)]))
            realm.add_all([thing(key="n", a=1.5)])
            found.b = 70  # type: ignore[union-attr]
            found.a = 1.0  # type: ignore[union-attr]
        assert [(one.key, one.a, one.b, one.c) for one in realm.objects(thing)] == [
            ("k", 1.0, 70, None),
            ("l", 0.0, 8, None),
            ("m", 2.5, 9, "c"),
            ("n", 1.5, 0, "c"),
        ]
        assert realm._store.schema["Thing"].properties["b"].indexed
    thing = old()
    with hl.Realm.open(path, schema=[thing]) as realm:
        assert realm.version == version + 1, "an older program changes nothing"
        assert [(one.key, one.b, one.extra) for one in realm.objects(thing)][0] == ("k", 70, "x")
        with realm.write():
            thing_again = realm.add(thing(key="o"))
            thing_again.b = 5
            realm.delete(realm.object(thing, "m"))
        assert thing_again.b == 5


def test_schemas_do_not_change_otherwise(path: Path) -> None:
    """A property in another form is refused with class and property; the file is left alone."""

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)
        website: int = 0

    hl.Realm.open(path, schema=SCHEMA).close()
    with pytest.raises(SchemaError, match=r"Company\.website is string \| None in the realm and declared int"):
        hl.Realm.open(path, schema=[Company])
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        assert realm.version == 1


def test_another_instance_adds_classes(path: Path, realm: hl.Realm) -> None:
    """An open realm goes on when another program adds to the schema of its file."""

    class Extra(hl.Object):
        company: Company | None = None

    with realm.write():
        company = realm.add(Company(name="a"))
    with hl.Realm.open(path, schema=[Extra, *SCHEMA]) as other, other.write():
        extra = other.add(Extra(company=other.object(Company, "a")))
        realm.refresh()
    realm.refresh()
    assert company.name == "a"
    with realm.write():
        company.website = "w"
        realm.delete(company)
    with hl.Realm.open(path, schema=[Extra, *SCHEMA]) as other:
        found = other.objects(Extra).first()
        assert found is not None
        assert found.company is None
    assert not extra.is_valid


def test_initial_data(path: Path) -> None:
    """initial_data fills a new file, in one transaction with the schema; a failure leaves nothing."""

    def fail(realm: hl.Realm) -> None:
        realm.add(Company(name="lost"))
        raise LookupError("no data")

    with pytest.raises(LookupError):
        hl.Realm.open(path, schema=SCHEMA, initial_data=fail)
    for _ in range(2):
        configuration = hl.Configuration(path, schema=SCHEMA, initial_data=lambda realm: realm.add(Company(name="a")))
        with hl.Realm.open(configuration) as realm:
            assert realm.version == 1
            assert [one.name for one in realm.objects(Company)] == ["a"]


def test_read_only(path: Path) -> None:
    """A read-only realm reads; writing, a missing file and missing classes are refused."""
    with pytest.raises(ReadOnlyError, match="does not exist"):
        hl.Realm.open(path, schema=SCHEMA, read_only=True)
    with hl.Realm.open(path, schema=[Company, Person, Address]) as realm, realm.write():
        realm.add(Company(name="a"))
    with pytest.raises(SchemaError, match="lacks the class Event"):
        hl.Realm.open(path, schema=SCHEMA, read_only=True)
    with hl.Realm.open(path, schema=[Company, Person, Address], read_only=True) as realm:
        company = realm.object(Company, "a")
        assert company is not None
        with pytest.raises(ReadOnlyError), realm.write():
            pass
        with pytest.raises(ReadOnlyError):
            company.website = "w"
        with pytest.raises(ReadOnlyError):
            realm.add(Company(name="b"))


def test_in_memory(tmp_path: Path) -> None:
    """In-memory realms of one name share their data, which goes with the last of them."""
    with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as realm:
        with realm.write():
            realm.add(Company(name="a"))
        with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as other:
            assert len(other.objects(Company)) == 1
        assert realm.path == "shared"
        folder = Path(realm._store.path).parent
    assert not folder.exists()
    assert not Path("shared").exists()
    with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as realm:
        assert len(realm.objects(Company)) == 0


def test_delete_files(path: Path) -> None:
    """delete_files removes a closed realm with all its files, and refuses an open one."""
    realm = hl.Realm.open(path, schema=SCHEMA)
    with pytest.raises(UsageError, match="is open"):
        hl.Realm.delete_files(path)
    realm.close()
    assert hl.Realm.delete_files(hl.Configuration(path)) is True
    assert list(path.parent.iterdir()) == []
    assert hl.Realm.delete_files(path) is False


def test_deleting_ends_what_works_with_the_file_behind(path: Path) -> None:
    """SQLite would damage a new file under the old name; what does not end keeps the file from being deleted."""
    hl.Realm.open(path, schema=SCHEMA).close()
    ended = []

    def end() -> Callable[[], object]:
        ended.append(path)
        return lambda: OpenFile.let_off(path, end)

    OpenFile.hold(path, end)
    assert not delete_unused(path)
    assert path.exists()
    assert hl.Realm.delete_files(path)
    assert ended == [path]

    hl.Realm.open(path, schema=SCHEMA).close()
    stubborn: Callable[[], Callable[[], object]] = lambda: ended.clear  # noqa: E731
    OpenFile.hold(path, stubborn)
    with pytest.raises(UsageError, match="is open"):
        hl.Realm.delete_files(path)
    OpenFile.let_off(path, stubborn)

    OpenFile.hold(path, end)
    with hl.Realm.open(path, schema=SCHEMA), pytest.raises(UsageError, match="is open"):
        hl.Realm.delete_files(path)
    with OpenFile.opening(path), pytest.raises(UsageError, match="is open"):
        hl.Realm.delete_files(path)
    assert ended == [], "who opens the realm relies on it"
    OpenFile.let_off(path, end)
    assert delete_unused(path)
    assert not path.exists()
