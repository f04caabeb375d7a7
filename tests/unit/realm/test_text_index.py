"""Full-text search by index: the same answers as a scan, whoever changes the texts."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hinterland as hl
from hinterland.changeset.instructions import Changeset, CreateObject, EraseObject, Instruction, Update
from hinterland.query.folding import SearchError, search_words
from hinterland.query.functions import _text
from hinterland.store import text_index
from hinterland.store.applier import apply
from hinterland.store.checking import check_file
from hinterland.store.store import Store


class Author(hl.Object):
    name: str = hl.field(primary_key=True)
    bio: str | None = hl.field(default=None, full_text=True)


class Note(hl.Object):
    number: int = hl.field(primary_key=True)
    text: str = hl.field(default="", full_text=True)
    author: Author | None = None
    others: hl.List[Author]


def note_class(**options: Any) -> Any:
    """Return another `Note` with `text` declared as given."""

    class Note(hl.Object):
        number: int = hl.field(primary_key=True)
        text: str = hl.field(default="", **options)

    return Note


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.hldb"


def numbers(realm: hl.Realm, search: str, property_: str = "text") -> list[int]:
    return [one.number for one in realm.objects(realm_note(realm)).filter(f"{property_} TEXT $0", search)]


def realm_note(realm: hl.Realm) -> Any:
    return next(one for one in realm.configuration.schema or [] if one.__name__ == "Note")


def fill(realm: hl.Realm, *texts: str) -> None:
    with realm.write():
        realm.add_all(realm_note(realm)(number=number, text=text) for number, text in enumerate(texts))


def uses_index(realm: hl.Realm) -> bool:
    return "full-text index of Note.text" in realm.objects(realm_note(realm)).filter("text TEXT 'x'").explain()


WORDS = [
    "fox",
    "Fox's",
    "déjà",
    "DEJA",
    "Ångström",
    "angstrom",
    "straße",
    "a×b",
    "ab",
    "Москва",
    "foxпривет",
    "x_y",
    "34",
]
SEARCHES = [
    "fox",
    "fo*",
    "-fox",
    "deja -fox",
    "ångstrom",
    "ang*",
    "ab",
    "straße fox",
    "34",
    "-zzz",
    "é*",
    "Жx",
    "y",
    "*",
    "-Ж",
]


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)),
        max_size=20,
    ),
    search=st.sampled_from(SEARCHES)
    | st.lists(st.sampled_from([*WORDS, "-fox", "d*"]), min_size=1, max_size=3).map(" ".join),
)
def test_index_and_scan_agree(edits: list[Any], search: str) -> None:
    """After any additions, changes and deletions the index finds what looking at every text finds."""
    try:
        words = search_words(search)
    except SearchError:
        return
    with hl.Realm.open(hl.Configuration("memory", schema=[Note, Author], in_memory=True)) as realm:
        for number, text in edits:
            with realm.write():
                known = realm.object(Note, number)
                if text is None:
                    if known is not None:
                        realm.delete(known)
                else:
                    realm.create(Note, {"number": number, "text": text}, update="modified")
        assert uses_index(realm)
        expected = [one.number for one in realm.objects(Note) if _text(one.text, json.dumps(words))]
        assert numbers(realm, search) == expected
        others = [one.number for one in realm.objects(Note).filter("NOT text TEXT $0", search)]
        assert sorted(expected + others) == sorted(one.number for one in realm.objects(Note))


def test_paths_over_links(path: Path) -> None:
    """TEXT works at the end of a path; a null link or text has no words at all."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        with realm.write():
            ada, bob = realm.add(Author(name="Ada", bio="likes maths")), realm.add(Author(name="Bob"))
            realm.add(Note(number=1, author=ada, others=[bob]))
            realm.add(Note(number=2, author=bob, others=[ada, bob]))
            realm.add(Note(number=3))
        assert numbers(realm, "math*", "author.bio") == [1]
        assert numbers(realm, "-french", "author.bio") == [1]
        assert numbers(realm, "maths", "ANY others.bio") == [2]
        assert [one.number for one in realm.objects(Note).where(Note.author.bio.matches("maths"))] == [1]
        assert "full-text index of Author.bio" in realm.objects(Note).filter("author.bio TEXT 'x'").explain()


def test_uncommitted_changes_are_found_and_rolled_back(path: Path) -> None:
    """Inside a transaction searches see its changes; a rollback takes them out of the index."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "old words")
        with pytest.raises(ZeroDivisionError), realm.write():  # noqa: PT012
            realm.objects(Note)[0].text = "new"
            realm.add(Note(number=7, text="new"))
            assert numbers(realm, "new") == [0, 7]
            1 / 0
        assert numbers(realm, "new") == []
        assert numbers(realm, "words") == [0]


def test_many_at_once(path: Path) -> None:
    """Adding and changing hundreds of objects, which goes to SQLite in other ways, keeps the index."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, *(f"word{number % 3} all" for number in range(500)))
        assert len(numbers(realm, "word1")) == 167
        with realm.write():
            for note in realm.objects(Note).filter("number >= 100"):
                note.text = f"new{note.number % 2}"
        assert len(numbers(realm, "new1")) == 200
        assert len(numbers(realm, "all")) == 100
        with realm.write():
            realm.objects(Note).update(text="last")
        assert (len(numbers(realm, "last")), numbers(realm, "all")) == (500, [])


def test_downloads_and_imports(path: Path, tmp_path: Path) -> None:
    """Changes that come as changesets or as JSON are in the index like any others."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "old words", "other")
        store = Store.open(path)
        with store.begin_write() as transaction:
            instructions: list[Instruction] = [
                Update("Note", 0, "text", [], "new words"),
                EraseObject("Note", 1),
                CreateObject("Note", 2),
                Update("Note", 2, "text", [], "newest"),
            ]
            apply(transaction, Changeset.of(instructions))
        store.close()
        realm.refresh()
        assert (numbers(realm, "new"), numbers(realm, "new*"), numbers(realm, "other")) == ([0], [0, 2], [])
        text = io.StringIO()
        realm.export_json(text)
        with hl.Realm.open(tmp_path / "other.hldb", schema=[Note, Author]) as other:
            other.import_json(io.StringIO(text.getvalue()))
            assert numbers(other, "new*") == [0, 2]
            assert uses_index(other)


def test_declared_later(path: Path) -> None:
    """Texts that were there before the property was declared full-text are in the index."""
    with hl.Realm.open(path, schema=[note_class()]) as realm:
        fill(realm, "early bird")
        with pytest.raises(hl.QueryError):
            numbers(realm, "early")
    with hl.Realm.open(path, schema=[note_class(full_text=True)]) as realm:
        assert numbers(realm, "early") == [0]
        assert uses_index(realm)


def test_migrations(path: Path) -> None:
    """A type change and a renaming carry the index along."""
    with hl.Realm.open(path, schema=[note_class(full_text=True)]) as realm:
        fill(realm, "early bird", "worm")

    class Note(hl.Object):
        number: int = hl.field(primary_key=True)
        title: str | None = hl.field(default=None, full_text=True)

    def migrate(old: Any, new: Any) -> None:
        new.rename_property("Note", "text", "title")

    with hl.Realm.open(hl.Configuration(path, schema=[Note], schema_version=1, migration=migrate)) as realm:
        assert numbers(realm, "early", "title") == [0]
        assert "full-text index" in realm.objects(Note).filter("title TEXT 'x'").explain()
        with realm.write():
            realm.objects(Note).update(title="changed")
        assert numbers(realm, "changed", "title") == [0, 1]
        assert numbers(realm, "early", "title") == []


def test_copies_and_compaction(path: Path, tmp_path: Path) -> None:
    """Compaction and copies keep the index; the copy keeps it up to date by itself."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "early bird", "worm")
        realm.compact()
        assert numbers(realm, "worm") == [1]
        realm.write_copy(tmp_path / "copy.hldb")
        frozen = realm.freeze()
        with realm.write():
            realm.delete(realm.objects(Note))
        assert numbers(realm, "worm") == []
        assert numbers(frozen, "worm") == [1]
    with hl.Realm.open(tmp_path / "copy.hldb", schema=[Note, Author]) as copy:
        fill_more = Note(number=9, text="another worm")
        with copy.write():
            copy.add(fill_more)
        assert numbers(copy, "worm") == [1, 9]
        assert uses_index(copy)


def test_missing_index_is_made_again(path: Path) -> None:
    """A file whose index another program dropped is searched by scanning while open, and mended when opened."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "early bird")
    with sqlite3.connect(path) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            raw.execute(f'DROP TRIGGER "{name}"')
    raw.close()
    with hl.Realm.open(path, schema=[Note, Author], read_only=True) as realm:
        assert numbers(realm, "bird") == [0]
        assert not uses_index(realm)
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        assert numbers(realm, "bird") == [0]
        assert uses_index(realm)


def test_without_fts5(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite without FTS5 scans, and can write a file that has an index; the index comes back later."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "early bird")
    monkeypatch.setattr(text_index, "has_fts5", lambda connection: False)
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        with realm.write():
            realm.add(Note(number=5, text="late bird"))
        assert numbers(realm, "bird") == [0, 5]
        assert not uses_index(realm)
    monkeypatch.undo()
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        assert numbers(realm, "bird") == [0, 5]
        assert uses_index(realm)


def test_classes_and_properties_go_with_their_index(path: Path) -> None:
    """Removing a property or a class leaves nothing of its index in the file."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "early bird")
    store = Store.open(path)
    with store.begin_write() as transaction:
        transaction.erase_property("Author", "bio")
        transaction.erase_class("Note")
    left = store.connection.execute("SELECT name FROM sqlite_master WHERE name GLOB '_text_*'").fetchall()
    store.close()
    assert left == []


@pytest.mark.parametrize(
    ("damage", "rows"),
    [
        ("INSERT INTO {index}(rowid, words) VALUES(2, 'ghost')", [2]),
        ("INSERT INTO {index}({index}, rowid, words) VALUES('delete', 1, 'a good dog')", [1]),
        ("INSERT INTO {index}(rowid, words) VALUES(77, 'lost')", [77]),
    ],
)
def test_check_compares_index_and_texts(path: Path, damage: str, rows: list[int]) -> None:
    """`check_file` names the rows whose tokens the index has not, or has and should not, and nothing of a sound file."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        fill(realm, "A good dog, a good one", "", "Über cafés", "dog")
        assert check_file(path) == []
        store = realm._store
        index = text_index.index_name(store.tables["Note"].columns["text"].id)
        with store.begin_write():
            store.connection.execute(damage.format(index=index).replace("a good dog", "a good dog one"))
    expected = [f"Note.text of row {row} is not what its full-text index says" for row in rows]
    assert check_file(path) == expected


def test_a_change_of_indices_alone_is_a_version(path: Path) -> None:
    """SQLite does not count triggers and indices among the changes; a transaction of theirs is kept all the same."""
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        version, store = realm.version, realm._store
        with realm.write():
            store.connection.execute("CREATE INDEX other ON Note(number)")
            store.transaction.reload_schema()
        assert realm.version == version + 1
    with hl.Realm.open(path, schema=[Note, Author]) as realm:
        assert realm._store.connection.execute("SELECT 1 FROM sqlite_master WHERE name='other'").fetchone()
