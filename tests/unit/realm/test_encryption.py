"""Encrypted realm files: keys, copies with other keys, and what goes wrong."""

from __future__ import annotations

import secrets
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.cli import main
from hinterland.store.checking import check_file

KEY = bytes(range(32))
LONG_KEY = bytes(range(100, 164))


class Secret(hl.Object):
    name: str = hl.field(primary_key=True)
    text: str = ""
    tags: hl.Set[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret.hldb"


def opened(path: Path, key: bytes | None, **options: object) -> hl.Realm:
    return hl.Realm.open(path, schema=[Secret], encryption_key=key, **options)


@pytest.fixture
def realm(path: Path) -> Iterator[hl.Realm]:
    with opened(path, KEY) as realm:
        with realm.write():
            realm.add_all(Secret(name=f"s{n}", text="swordfish" * 20, tags={"a"}) for n in range(50))
        yield realm


@pytest.mark.parametrize("key", [KEY, LONG_KEY], ids=["32", "64"])
def test_an_encrypted_realm_works_and_shows_nothing(path: Path, key: bytes) -> None:
    """An encrypted file holds no text of the realm, neither itself nor in its log, and reads with the same key."""
    with opened(path, key) as realm:
        with realm.write():
            realm.add_all(Secret(name=f"s{n}", text="swordfish" * 20, tags={"salt"}) for n in range(50))
        log = Path(f"{path}-wal").read_bytes()
        assert log
        assert b"swordfish" not in log
    written = path.read_bytes()
    assert b"swordfish" not in written
    assert not written.startswith(b"SQLite")
    with opened(path, key) as realm:
        assert len(realm.objects(Secret).filter("text CONTAINS 'fish' AND ANY tags == 'salt'")) == 50
        assert realm.object(Secret, "s7").text == "swordfish" * 20
        with pytest.raises(hl.DuplicateKeyError), realm.write():
            realm.add(Secret(name="s7"))


def test_wrong_keys_are_told_apart(realm: hl.Realm, path: Path, tmp_path: Path) -> None:
    """A missing key, a wrong key and a key for a plain file are three errors that say what to do, and harm nothing."""
    realm.close()
    plain = tmp_path / "plain.hldb"
    opened(plain, None).close()
    before = path.read_bytes(), plain.read_bytes()
    for file, key, message in [
        (path, None, "is encrypted; pass the encryption_key"),
        (path, LONG_KEY, "cannot be decrypted with this encryption_key"),
        (plain, KEY, "is not encrypted; leave out encryption_key"),
    ]:
        with pytest.raises(hl.EncryptionKeyError, match=message) as caught:
            opened(file, key)
        assert caught.value.code == "HL-D006"
    assert (path.read_bytes(), plain.read_bytes()) == before


def test_instances_of_one_file_have_one_key(realm: hl.Realm, path: Path) -> None:
    """While a realm is open, opening it with another key is refused without touching the file."""
    for key in (None, LONG_KEY):
        with pytest.raises(hl.EncryptionKeyError, match="open with another encryption_key"):
            opened(path, key)
    with realm.write():
        realm.add(Secret(name="still alive"))


def test_foreign_files_are_not_taken_for_encrypted_ones(path: Path) -> None:
    """A text file is no realm, with and without a key."""
    path.write_text("no realm\n" * 1000)
    for key in (None, KEY):
        with pytest.raises(hl.ForeignFileError, match="not a realm file"):
            opened(path, key)


@pytest.mark.parametrize("key", [b"short", "x" * 32, b"x" * 33])
def test_what_is_no_key_is_refused(path: Path, key: object) -> None:
    """Keys are 32 or 64 bytes."""
    with pytest.raises(hl.ConfigurationError, match="encryption_key"):
        hl.Realm.open(path, schema=[Secret], encryption_key=key)
    assert not path.exists()


@pytest.mark.parametrize("old", [None, KEY, LONG_KEY], ids=["plain", "32", "64"])
@pytest.mark.parametrize("new", [None, KEY, LONG_KEY], ids=["plain", "32", "64"])
def test_copies_change_the_key(tmp_path: Path, old: bytes | None, new: bytes | None) -> None:
    """A copy is encrypted with the key that is given for it, or plain, whatever the original is."""
    source, target = tmp_path / "source.hldb", tmp_path / "target.hldb"
    with opened(source, old) as realm:
        with realm.write():
            realm.add(Secret(name="a", text="swordfish", tags={"x"}))
        realm.write_copy(target, encryption_key=new)
    assert (b"swordfish" in target.read_bytes()) is (new is None)
    with opened(target, new) as copy:
        assert [(one.name, one.text, set(one.tags)) for one in copy.objects(Secret)] == [("a", "swordfish", {"x"})]
        with copy.write():
            copy.add(Secret(name="b"))
    assert sorted(one.name for one in tmp_path.iterdir() if "part" in one.name) == []
    other = KEY if new != KEY else LONG_KEY
    with pytest.raises(hl.EncryptionKeyError):
        opened(target, other)


def test_everything_else_works_with_a_key(realm: hl.Realm, path: Path) -> None:
    """Freezing (also of an old version), compacting, read-only instances, JSON and threads work as in plain files."""
    old = opened(path, KEY)
    version = old.version
    with realm.write():
        realm.delete(realm.objects(Secret).filter("name != 's1'"))
    frozen = old.freeze()
    assert frozen.version == version
    assert len(frozen.objects(Secret)) == 50
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(len(frozen.objects(Secret))))
    thread.start()
    thread.join()
    assert counts == [50]
    frozen.close()
    old.close()
    assert realm.compact()
    realm.close()
    with opened(path, KEY, read_only=True) as reader:
        assert [one.name for one in reader.objects(Secret)] == ["s1"]


def test_damage_of_an_encrypted_file_is_told(realm: hl.Realm, path: Path) -> None:
    """A flipped bit anywhere is found when its page is read, because every page is authenticated."""
    realm.close()
    sound = path.read_bytes()
    for place in range(4096 + 50, len(sound), 4096):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        assert check_file(path, KEY), f"byte {place}"


def test_random_keys_differ(path: Path) -> None:
    """Two files with different keys have nothing in common, and the same content twice differs, too."""
    opened(path, secrets.token_bytes(64)).close()
    other = path.with_name("other.hldb")
    opened(other, secrets.token_bytes(64)).close()
    assert path.read_bytes()[:4096] != other.read_bytes()[:4096]


def test_the_command_line_takes_keys_from_files_and_the_environment(
    realm: hl.Realm, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`realms check` reads an encrypted file with a key from a file (bytes or hexadecimal) or a variable."""
    realm.close()
    monkeypatch.delenv("HINTERLAND_REALM_KEY", raising=False)
    file = tmp_path / "key"
    assert main(["realms", "check", str(path)]) == 1
    assert "is encrypted" in capsys.readouterr().out
    for content in (KEY, KEY.hex().encode(), KEY.hex().encode() + b"\n"):
        file.write_bytes(content)
        assert main(["realms", "check", str(path), "--key-file", str(file)]) == 0
    monkeypatch.setenv("HINTERLAND_REALM_KEY", KEY.hex())
    assert main(["realms", "check", str(path)]) == 0
    monkeypatch.setenv("HINTERLAND_REALM_KEY", "swordfish")
    assert main(["realms", "check", str(path)]) == 2
    assert main(["realms", "check", str(path), "--key-file", str(tmp_path / "absent")]) == 2
    assert "swordfish" not in capsys.readouterr().err


def test_without_the_library_a_key_says_what_to_install(tmp_path: Path) -> None:
    """The base install knows nothing of encryption until a key is given, and names the extra then."""
    program = """
        import sys
        import hinterland as hl
        assert not [name for name in sys.modules if "cipher" in name]
        sys.modules["sqlcipher3"] = None
        hl.Realm.open(sys.argv[1] + "/plain.hldb").close()
        try:
            hl.Realm.open(sys.argv[1] + "/secret.hldb", encryption_key=b"k" * 32)
        except hl.ConfigurationError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "pip install 'hinterland[encryption]'" in done.stdout
    assert sorted(one.name for one in tmp_path.iterdir()) == ["plain.hldb"]
