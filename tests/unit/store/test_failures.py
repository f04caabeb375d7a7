"""SQLite's errors, wherever they happen, come out as ours, and lose nothing that was committed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from hinterland.store.connection import RealmConnection


class Item(hl.Object):
    number: int = hl.field(primary_key=True)
    text: str = ""
    others: hl.List[Item]


def fill(realm: hl.Realm, begin: int = 0, end: int = 20, size: int = 10) -> None:
    with realm.write():
        realm.add_all(Item(number=number, text="x" * size) for number in range(begin, end))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "items.hldb"


@pytest.mark.parametrize(
    "act",
    [
        lambda realm: fill(realm, 100, 3000, 1000),
        lambda realm: fill_one_by_one(realm),
        lambda realm: realm.objects(Item).update(text="y" * 1_000_000),
        lambda realm: realm.object(Item, 0).others.extend([realm.object(Item, 1)] * 500_000),
    ],
    ids=["add_all", "add", "update", "extend"],
)
def test_a_full_disk_costs_the_transaction_only(path: Path, act: Callable[[hl.Realm], None]) -> None:
    """When the file cannot grow, the write is a CommitError, nothing of it is kept, and the realm goes on."""
    with hl.Realm.open(path, schema=[Item]) as realm:
        fill(realm)
        connection = realm._store.connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 5}")
        with pytest.raises(hl.CommitError, match="nothing .*was kept"):
            run(realm, act)
        assert not realm.is_in_write
        assert [one.text for one in realm.objects(Item)] == ["x" * 10] * 20
        connection.execute("PRAGMA max_page_count=1000000")
        fill(realm, 50, 60)
    with hl.Realm.open(path, schema=[Item]) as realm:
        assert len(realm.objects(Item)) == 30


def run(realm: hl.Realm, act: Callable[[hl.Realm], None]) -> None:
    try:
        act(realm)
    except hl.NotInWriteError:
        with realm.write():
            act(realm)


def fill_one_by_one(realm: hl.Realm) -> None:
    with realm.write():
        for number in range(100, 3000):
            realm.add(Item(number=number, text="x" * 1000))


def test_a_file_size_limit_of_the_system_is_an_error_of_ours(path: Path) -> None:
    """What the operating system refuses to write is a CommitError or StorageError, and the file stays sound."""
    if sys.platform == "win32":
        pytest.skip("limits of processes are a matter of POSIX systems")
    program = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        import hinterland as hl
        from tests.unit.store.test_failures import Item, fill
        with hl.Realm.open(sys.argv[1], schema=[Item]) as realm:
            fill(realm)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            try:
                fill(realm, 100, 3000, 1000)
            except hl.StorageError as error:
                print(type(error).__name__, error)
            assert len(realm.objects(Item)) == 20
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    with hl.Realm.open(path, schema=[Item]) as realm:
        assert len(realm.objects(Item)) == 20
        fill(realm, 100, 200)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n" * 1000), "not a realm file"),
        (lambda path: path.write_bytes(os.urandom(5000)), "not a realm file"),
        (lambda path: path.write_bytes(b"SQLite format 3\x00"), "not a realm file|is damaged"),
    ],
    ids=["directory", "picture", "noise", "header only"],
)
@pytest.mark.parametrize("read_only", [False, True], ids=["", "read_only"])
def test_what_is_no_realm_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], Any], error: str, read_only: bool
) -> None:
    """Directories, foreign and cut files are named in an error of ours and not touched."""
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(hl.StorageError, match=error):
        hl.Realm.open(path, schema=[Item], read_only=read_only)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_an_empty_file_is_a_new_realm_and_never_a_read_only_one(path: Path) -> None:
    """A file of length zero, as `tempfile` makes it, becomes a realm; reading it only is refused."""
    path.touch()
    with pytest.raises(hl.HinterlandError):
        hl.Realm.open(path, schema=[Item], read_only=True)
    assert path.stat().st_size == 0
    with hl.Realm.open(path, schema=[Item]) as realm:
        fill(realm)


def test_a_file_without_permission_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be written says which permission is missing; root, who may all, is not asked."""
    with hl.Realm.open(path, schema=[Item]) as realm:
        fill(realm)
    path.chmod(0o000)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(hl.StorageError, match="no permission"):
        hl.Realm.open(path, schema=[Item])


@pytest.mark.parametrize(
    "read",
    [
        lambda realm: [one.text for one in realm.objects(Item)],
        lambda realm: realm.objects(Item).filter("text CONTAINS 'y'").sorted("text")[0:5],
        lambda realm: realm.objects(Item).sum("number"),
        lambda realm: [len(one.others) for one in realm.objects(Item)],
        lambda realm: realm.object(Item, 2900),
        lambda realm: list(realm.dynamic.objects("Item")),
        lambda realm: realm.objects(Item).explain(),
    ],
    ids=["iterate", "query", "sum", "lists", "key", "dynamic", "explain"],
)
def test_damage_that_appears_while_the_file_is_open(path: Path, tmp_path: Path, read: Any) -> None:
    """A file whose pages are overwritten under an open realm gives our errors from every way of reading."""
    with hl.Realm.open(path, schema=[Item]) as realm:
        fill(realm, 0, 3000, 1000)
        realm.write_copy(tmp_path / "copy.hldb")
    copy = tmp_path / "copy.hldb"
    with hl.Realm.open(copy, schema=[Item], read_only=True) as realm:
        # By another process, since closing a file here would drop the locks of this one.
        program = "import sys, os; f = open(sys.argv[1], 'r+b'); f.seek(8192); f.write(os.urandom(os.path.getsize(sys.argv[1]) - 8192))"
        subprocess.run([sys.executable, "-c", program, str(copy)], check=True)
        realm._store.connection.execute("PRAGMA cache_size=1")
        realm._store.connection.execute("PRAGMA shrink_memory")
        with contextlib.suppress(hl.HinterlandError):  # what is still in memory can be read
            read(realm)


def test_a_vanished_directory_is_an_error_of_ours(tmp_path: Path) -> None:
    """Deleting the folder under an open realm makes writing or reopening fail with our errors only."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with hl.Realm.open(folder / "a.hldb", schema=[Item]) as realm:
        fill(realm)
        shutil.rmtree(folder)
        try:
            fill(realm, 100, 110)
        except hl.HinterlandError:
            pass
        with pytest.raises(hl.HinterlandError, match="no directory"):
            hl.Realm.open(folder / "a.hldb", schema=[Item], in_memory=False)


def test_statements_raise_our_errors(path: Path) -> None:
    """Running, stepping and fetching raise StorageError for what SQLite refuses."""
    with hl.Realm.open(path, schema=[Item]) as realm:
        connection: RealmConnection = realm._store.connection
        for sql in ("SELECT nonsense", "nonsense", "SELECT load_extension('x')"):
            with pytest.raises(hl.StorageError):
                connection.execute(sql)
        with pytest.raises(hl.StorageError):
            connection.executemany("INSERT INTO nothing VALUES(?)", [(1,)])
        connection.execute("PRAGMA case_sensitive_like=1")
        rows = connection.execute("SELECT CAST(x'ff' AS TEXT) FROM (VALUES(1),(2))")
        with pytest.raises(hl.CorruptFileError):
            rows.fetchone()
        with pytest.raises(hl.CorruptFileError):
            list(connection.execute("SELECT CAST(x'ff' AS TEXT) FROM (VALUES(1),(2))"))
        with pytest.raises(hl.CorruptFileError):
            connection.execute("SELECT CAST(x'ff' AS TEXT) FROM (VALUES(1),(2))").fetchall()
