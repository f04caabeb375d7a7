"""What a program gets told when it is called wrongly."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Company, Person

import hinterland as hl
from hinterland.errors import ClosedError, ConfigurationError, HinterlandError, StorageError, ValueTypeError
from hinterland.store import layout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: hl.Realm.open(folder / "a.hldb", schema=Company), "must be a list of classes"),
        (lambda folder: hl.Realm.open(folder / "a.hldb", schema=[3]), "3 is not a class"),
        (lambda folder: hl.Realm.open(3, schema=SCHEMA), "must be a str or Path"),
        (lambda folder: hl.Realm.open(folder / "a.hldb", schema=SCHEMA, tpyo=1), "tpyo"),
        (lambda folder: hl.Realm.open(hl.Configuration(folder / "a.hldb"), tpyo=1), "tpyo"),
    ],
)
def test_wrong_configurations_are_named(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    """Whatever is wrong with a configuration is a ConfigurationError that names it; no file is made."""
    with pytest.raises(ConfigurationError, match=message):
        make(tmp_path)
    assert not list(tmp_path.iterdir())


def test_places_where_no_file_can_be_are_named(tmp_path: Path) -> None:
    """A directory that is missing and a directory instead of a file are told apart, with what to do."""
    with pytest.raises(StorageError, match="there is no directory .*; make it first"):
        hl.Realm.open(tmp_path / "no" / "a.hldb", schema=SCHEMA)
    with pytest.raises(StorageError, match="it is a directory; name a file"):
        hl.Realm.open(tmp_path, schema=SCHEMA)


def test_files_on_read_only_media_open_read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A realm that comes with an app is read although no file can be made beside it."""
    with hl.Realm.open(path, schema=SCHEMA) as realm, realm.write():
        realm.add(Company(name="Acme"))
    monkeypatch.setattr(layout.os, "access", lambda *_: False)  # the system's answer, which root would not get
    path.chmod(0o444)
    with hl.Realm.open(path, schema=SCHEMA, read_only=True) as realm:
        assert realm.object(Company, "Acme") is not None
    assert not path.with_name(path.name + "-shm").exists()


def test_update_refuses_unknown_properties(path: Path) -> None:
    """Updating results with a name that the class lacks is refused, also when there are none."""
    with hl.Realm.open(path, schema=SCHEMA) as realm, realm.write():
        with pytest.raises(ValueTypeError, match="Company has no property 'webiste'"):
            realm.objects(Company).update(webiste="x")


def test_copying_and_pickling(path: Path) -> None:
    """Copies are unmanaged objects with the same values; pickling says what to do instead."""
    acme = Company(name="Acme")
    shallow = copy.copy(acme)
    assert shallow == acme
    assert shallow is not acme
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        with realm.write():
            realm.add(acme)
        deep = copy.deepcopy(acme)
        assert not deep.is_managed
        assert deep == Company(name="Acme")
        with pytest.raises(
            TypeError, match=r"this Company belongs to a realm and cannot be pickled; pickle obj\.detach\(\)"
        ):
            pickle.dumps(acme)


def test_every_error_is_ours() -> None:
    """Each public error has its own code, in the one tree."""
    errors = [one for one in vars(hl).values() if isinstance(one, type) and issubclass(one, HinterlandError)]
    assert len({one.code for one in errors}) == len(errors)


def test_a_closed_realm_is_not_entered_again(path: Path) -> None:
    """`with realm:` says at once that the realm was closed."""
    realm = hl.Realm.open(path, schema=SCHEMA)
    realm.close()
    realm.close()
    with pytest.raises(ClosedError, match="has been closed"), realm:
        pass


def test_what_cannot_be_read_can_be_shown(path: Path) -> None:
    """Debuggers and failing tests call repr() of all that is in sight: it says why there is nothing to show."""
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        with realm.write():
            gone, kept = (realm.add(Person(name=name, anything=[1])) for name in "ab")
            things = [realm.objects(Person).filter("age > 1")]
            for person in (gone, kept):
                things += [person, person.friends, person.tags, person.scores, person.anything]
            realm.delete(gone)
        assert [repr(one).count("was deleted") for one in things] == [0] + [1] * 5 + [0] * 5
        assert repr(kept.friends) == "List([])"
    assert all("has been closed" in repr(one) for one in things)
