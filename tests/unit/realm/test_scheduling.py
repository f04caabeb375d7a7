"""Notifications through an event loop that is not asyncio's, and of changed classes."""

from __future__ import annotations

import queue
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hinterland as hl

TIMEOUT_S = 30.0


class Note(hl.Object):
    name: str = hl.field(primary_key=True)
    text: str = ""


class Loop:
    """A loop like those of GUI toolkits: callbacks from any thread run one after the other on its own."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.thread = threading.get_ident()

    def schedule(self, callback: Callable[[], object]) -> None:
        self.waiting.put(callback)

    def is_on_thread(self) -> bool:
        return threading.get_ident() == self.thread

    def run_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            self.waiting.get(timeout=deadline - time.monotonic())()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.hldb"


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def realm(path: Path, loop: Loop) -> Iterator[hl.Realm]:
    with hl.Realm.open(path, schema=[Note], scheduler=loop) as realm:
        yield realm


def add(path: Path, name: str) -> None:
    with hl.Realm.open(path, schema=[Note]) as realm, realm.write():
        realm.add(Note(name=name))


def test_a_scheduler_delivers_what_other_threads_commit(realm: hl.Realm, path: Path, loop: Loop) -> None:
    """Observers run on the loop's thread: first with the present state, then after another thread's commit."""
    seen: list[tuple[list[int], int]] = []
    token = realm.objects(Note).observe(lambda _, changes: seen.append((changes.insertions, threading.get_ident())))
    assert seen == []
    loop.run_until(lambda: seen)
    thread = threading.Thread(target=add, args=(path, "a"))
    thread.start()
    thread.join()
    assert len(realm.objects(Note)) == 0
    loop.run_until(lambda: len(seen) == 2)
    assert seen[1] == ([0], threading.get_ident())
    assert [one.name for one in realm.objects(Note)] == ["a"]
    token.cancel()


def test_a_scheduler_delivers_what_other_processes_commit(realm: hl.Realm, path: Path, loop: Loop) -> None:
    """A commit of another process arrives without any call of ours."""
    seen: list[int] = []
    realm.observe(lambda realm: seen.append(len(realm.objects(Note))))
    program = """
        import sys
        import hinterland as hl

        class Note(hl.Object):
            name: str = hl.field(primary_key=True)
            text: str = ""

        with hl.Realm.open(sys.argv[1], schema=[Note]) as realm, realm.write():
            realm.add(Note(name="far"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(path)], check=True)
    loop.run_until(lambda: seen)
    assert seen == [1]


def test_auto_refresh_can_be_switched_off(realm: hl.Realm, path: Path, loop: Loop) -> None:
    """Without auto_refresh the realm moves in refresh() only, and observers are called there."""
    seen: list[int] = []
    realm.auto_refresh = False
    realm.observe(lambda _: seen.append(1))
    thread = threading.Thread(target=add, args=(path, "a"))
    thread.start()
    thread.join()
    loop.schedule(lambda: seen.append(0))
    loop.run_until(lambda: seen)
    assert seen == [0]
    assert realm.refresh()
    assert seen == [0, 1]


def test_a_scheduler_that_fails_harms_no_commit(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What `schedule` raises is logged, and the other thread's commit succeeds."""

    class Broken(Loop):
        def schedule(self, callback: Callable[[], object]) -> None:
            raise ZeroDivisionError

    with hl.Realm.open(path, schema=[Note], scheduler=Broken()) as realm:
        thread = threading.Thread(target=add, args=(path, "a"))
        thread.start()
        thread.join()
        assert "the scheduler of" in caplog.text
        assert realm.refresh()
        assert len(realm.objects(Note)) == 1


def test_wrong_schedulers_are_refused(path: Path, loop: Loop) -> None:
    """A scheduler has two methods, and the realm is opened on its thread."""
    with pytest.raises(hl.ConfigurationError, match="schedule"):
        hl.Realm.open(path, schema=[Note], scheduler=print)
    loop.thread = -1
    with pytest.raises(hl.WrongThreadError, match="its scheduler's"):
        hl.Realm.open(path, schema=[Note], scheduler=loop)


def test_closing_leaves_no_thread(path: Path, loop: Loop) -> None:
    """A closed realm has no thread that looks for commits, and late callbacks do nothing."""
    realm = hl.Realm.open(path, schema=[Note], scheduler=loop)
    seen: list[int] = []
    realm.objects(Note).observe(lambda *_: seen.append(1))
    thread = threading.Thread(target=add, args=(path, "a"))
    thread.start()
    thread.join()
    realm.close()
    realm.close()
    while not loop.waiting.empty():
        loop.waiting.get()()
    assert seen == []
    assert not [one for one in threading.enumerate() if one.name == "hinterland-watch"]


def test_changed_classes_are_told(path: Path) -> None:
    """observe_schema calls when another instance adds a class or property, and not for changes of objects."""
    with hl.Realm.open(path, schema=[Note]) as realm:
        seen: list[tuple[hl.Realm, set[str]]] = []
        token = realm.observe_schema(lambda realm, schema: seen.append((realm, set(schema["Note"].properties))))
        add(path, "a")
        realm.refresh()
        assert seen == []

        with hl.Realm.open(path, schema=[later_note()]):
            pass
        realm.refresh()
        assert seen == [(realm, {"name", "text", "stars"})]
        token.cancel()
        token.cancel()


def later_note() -> type[hl.Object]:
    """A later release's idea of a note."""

    class Note(hl.Object):
        name: str = hl.field(primary_key=True)
        stars: int = 0

    return Note
