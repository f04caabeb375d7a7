"""Objects that are looked up one by one, before and after their class is read whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hinterland as hl
from hinterland.realm import whole_class


class Word(hl.Object):
    """Something to look up."""

    text: str = hl.field(primary_key=True)
    length: int = 0
    next: Word | None = None


WORDS = [f"w{n}" for n in range(12)]
LOOKUPS = whole_class._READS_MIN * 2


@pytest.fixture
def words(tmp_path: Path) -> hl.Realm:
    """A realm in which every word has been looked up so often that all are known."""
    realm = hl.Realm.open(tmp_path / "words.hldb", schema=[Word], durable=False)
    with realm.write():
        realm.add_all(Word(text=text, length=n) for n, text in enumerate(WORDS))
    look_up(realm)
    assert realm._binding(Word).whole.by_key
    return realm


def look_up(realm: hl.Realm) -> dict[str, int]:
    """Return the lengths of all words, each looked up often."""
    found = {}
    for n in range(LOOKUPS):
        text = WORDS[n % len(WORDS)]
        word = realm.object(Word, text)
        if word is None:
            assert text not in found
        else:
            assert found.setdefault(text, word.length) == word.length
    return found


def set_length(realm: hl.Realm, text: str, length: int) -> None:
    word = realm.object(Word, text)
    assert word is not None
    word.length = length


Change = Callable[[hl.Realm], object]
CHANGES: dict[str, Change] = {
    "set": lambda realm: set_length(realm, "w3", 100),
    "add": lambda realm: realm.add(Word(text="new", length=7)),
    "delete": lambda realm: realm.delete(realm.objects(Word).filter(text="w3")),
    "delete and add again": lambda realm: (
        realm.delete(realm.objects(Word).filter(text="w3")),
        realm.add(Word(text="w3", length=9)),
    ),
    "create": lambda realm: realm.create(Word, {"text": "w3", "length": 5}, update="modified"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("where", ["here", "elsewhere", "undone", "inside"])
def test_what_changes_is_seen(words: hl.Realm, change: Change, where: str) -> None:
    """A look-up finds what the realm holds now, whoever changed it, inside a transaction and after it."""
    other = hl.Realm.open(words.configuration) if where == "elsewhere" else words
    before = look_up(words)
    if where == "undone":
        words._begin()
        change(words)
        words._rollback()
        assert look_up(words) == before
    else:
        with other.write():
            change(other)
            if where == "inside":
                assert look_up(words) == {one.text: one.length for one in words.objects(Word) if one.text in WORDS}
    if where == "elsewhere":
        assert look_up(words) == before
        words.refresh()
    expected = {one.text: one.length for one in words.objects(Word)}
    for text in [*WORDS, "new"]:
        found = words.object(Word, text)
        assert (None if found is None else found.length) == expected.get(text)
    other.close()
    words.close()


def test_links_are_followed_to_the_newest_state(words: hl.Realm) -> None:
    """Links lead to objects as they are now, and to None when those are gone."""
    with words.write():
        for one, two in zip(WORDS, WORDS[1:], strict=False):
            first = words.object(Word, one)
            assert first is not None
            first.next = words.object(Word, two)
    start = words.object(Word, "w0")
    assert start is not None
    for _ in range(LOOKUPS):
        assert start.next is not None
        assert start.next.length == 1
    with words.write():
        set_length(words, "w1", 50)
        assert start.next.length == 50
    assert start.next.length == 50
    with words.write():
        words.delete(start.next)
        assert start.next is None
    assert start.next is None
    words.close()


def test_large_files_are_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of files beyond the limit are read object by object, so that memory stays bounded."""
    monkeypatch.setattr(whole_class, "_FILE_BYTES_MAX", 1)
    with hl.Realm.open(tmp_path / "words.hldb", schema=[Word], durable=False) as realm:
        with realm.write():
            realm.add_all(Word(text=text, length=n) for n, text in enumerate(WORDS))
        assert look_up(realm) == {text: n for n, text in enumerate(WORDS)}
        assert not realm._binding(Word).whole.by_key


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "add", "delete", "look", "flush", "undo", "commit"]),
        st.sampled_from(WORDS),
        st.integers(0, 9),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_any_steps(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]) -> None:
    """After any steps, in transactions that are kept or undone, look-ups find what a dict would hold."""
    kept = {text: n for n, text in enumerate(WORDS)}
    with hl.Realm.open(tmp_path_factory.mktemp("words") / "a.hldb", schema=[Word], durable=False) as realm:
        with realm.write():
            realm.add_all(Word(text=text, length=n) for text, n in kept.items())
        now = dict(kept)
        realm._begin()
        for step, text, number in steps:
            if step == "set" and text in now:
                set_length(realm, text, number)
                now[text] = number
            elif step == "add" and text not in now:
                realm.add(Word(text=text, length=number))
                now[text] = number
            elif step == "delete" and text in now:
                realm.delete(realm.object(Word, text))  # type: ignore[arg-type]
                del now[text]
            elif step == "flush":
                assert len(realm.objects(Word)) == len(now)
            elif step in ("undo", "commit"):
                if step == "undo":
                    realm._rollback()
                    now = dict(kept)
                else:
                    realm._commit()
                    kept = dict(now)
                assert look_up(realm) == now
                realm._begin()
            elif step == "look":
                assert look_up(realm) == now
        assert look_up(realm) == now
        realm._rollback()
        assert look_up(realm) == kept
