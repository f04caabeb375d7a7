"""What the client does with its file: local history, integration of DOWNLOADs, ident, trimming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.sync.local_commits import commit, state

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.errors import BadChangesetError, ProtocolError
from hinterland.protocol.messages import Download, DownloadEntry, SyncProgress
from hinterland.store import transaction
from hinterland.store.client_history import ClientHistory
from hinterland.sync import integration
from hinterland.sync.integration import fix_global_keys
from hinterland.sync.realm_file import RealmFile
from hinterland.values import ClassKind, CollectionType, GlobalKey, Link, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Task", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Task", "title", PropertyType.STRING, nullable=False, collection=CollectionType.SINGLE),
    AddColumn("Task", "steps", PropertyType.STRING, nullable=False, collection=CollectionType.LIST),
]


def title(text: str, key: int = 1) -> Update:
    return Update("Task", key, "title", [], text)


def download(
    *changesets: tuple[int, int, list[Instruction]], server: int, client: int = 0, upload: tuple[int, int] = (0, 0)
) -> Download:
    """A DOWNLOAD of (server version, base, instructions) from file 9 at time 20."""
    entries = []
    for version, base, instructions in changesets:
        data = encode(Changeset(instructions))
        entries.append(DownloadEntry(version, base, 20, 9, len(data), data))
    return Download(1, SyncProgress(server, 5, server, client, *upload), 0, tuple(entries))


@pytest.fixture(params=["usual", "tiny"], autouse=True)
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is said here is so as well for what does not fit into memory."""
    if request.param == "tiny":
        monkeypatch.setattr(integration, "DECODED_BYTES_MAX", 0)
        monkeypatch.setattr(transaction, "ROWS_IN_MEMORY_MAX", 0)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RealmFile]:
    opened = RealmFile(tmp_path / "realm.hldb")
    yield opened
    opened.close()


@pytest.fixture
def synced(file: RealmFile) -> RealmFile:
    """A file with ident 7 that has integrated server version 1: one task."""
    file.store_ident(7, 99)
    file.integrate(download((1, 0, [*SCHEMA, CreateObject("Task", 1), title("buy")]), server=1))
    return file


def test_only_what_meets_local_changes_is_merged(synced: RealmFile) -> None:
    """Of many changesets above one base, those that touch what was written here are transformed, and all applied."""
    commit(synced, title("mine"), timestamp=30)
    others = [(number, 0, [CreateObject("Task", number), title("other", number)]) for number in range(2, 6)]
    synced.integrate(download(*others[:2], (4, 0, [title("theirs")]), *others[2:], server=6))
    assert '"title":"mine"' in state(synced)
    assert state(synced).count('"title":"other"') == 4


def test_a_download_is_applied_and_remembered(synced: RealmFile) -> None:
    """Rows and cursors are stored together (merge.md §5.4)."""
    found = synced.state()

    assert '"title":"buy"' in state(synced)
    assert found.progress == SyncProgress(1, 5, 1, 0, 0, 0)
    assert (found.ident, found.salt) == (7, 99)


def test_a_download_is_merged_with_what_the_server_did_not_know(synced: RealmFile) -> None:
    """The later update wins, whichever side made it (merge.md §5.2, §4.6)."""
    commit(synced, title("early"), timestamp=10)
    synced.integrate(download((2, 0, [title("late")]), server=2))
    assert '"title":"late"' in state(synced)

    commit(synced, title("latest"), timestamp=30)
    synced.integrate(download((3, 0, [title("not so late")]), server=3))
    assert '"title":"latest"' in state(synced)


def test_uploads_are_the_originals_whatever_was_merged(synced: RealmFile) -> None:
    """A reciprocal never leaves the client (merge.md §5.4)."""
    version = commit(synced, title("early"), timestamp=10)
    synced.integrate(download((2, 0, [title("late")]), server=2))

    (entry,) = synced.read_upload(0).entries

    assert (entry.client_version, entry.server_version, entry.timestamp, entry.origin) == (version, 1, 10, 0)
    assert decode(entry.changeset).instructions == [title("early")]


def test_an_emptied_reciprocal_is_not_taken_for_none(synced: RealmFile) -> None:
    """Merge.md §5.5 step 2: what is left of a local change meets the server's next one with the same base."""
    commit(synced, title("early"), timestamp=10)
    synced.integrate(download((2, 0, [title("late")]), server=2))

    synced.integrate(download((3, 0, [EraseObject("Task", 1)]), (4, 0, [CreateObject("Task", 1)]), server=4))

    assert '"title":""' in state(synced)


def test_lists_edited_on_both_sides_keep_both_insertions(synced: RealmFile) -> None:
    """Concurrent insertions at one place are ordered by time (merge.md §4.6)."""
    commit(synced, ArrayInsert("Task", 1, "steps", [0], "mine", 0), timestamp=10)
    synced.integrate(download((2, 0, [ArrayInsert("Task", 1, "steps", [0], "theirs", 0)]), server=2))

    assert '"steps":["mine","theirs"]' in state(synced)


@pytest.mark.parametrize("body", [b"\xff\xff", encode(Changeset([title("x", key=404)]))])
def test_a_changeset_that_does_not_fit_changes_nothing(synced: RealmFile, body: bytes) -> None:
    """Malformed bytes and impossible instructions leave rows and cursors as they were (I4, I5)."""
    before, version = state(synced), synced.state()
    good = encode(Changeset([title("first")]))
    entries = (DownloadEntry(2, 0, 20, 9, len(good), good), DownloadEntry(3, 0, 20, 9, len(body), body))

    with pytest.raises(BadChangesetError):
        synced.integrate(Download(1, SyncProgress(3, 5, 3, 0, 0, 0), 0, entries))

    assert before == state(synced)
    assert version == synced.state()


def test_an_upload_cursor_that_goes_back_is_refused(synced: RealmFile) -> None:
    """Check 13 of wire.md §5.4 is reported as error 233."""
    commit(synced, title("a"))
    synced.integrate(download(server=1, upload=(4, 1)))

    synced.integrate(download(server=3, upload=(5, 2)))
    with pytest.raises(ProtocolError, match="went back") as caught:
        synced.integrate(download(server=4, upload=(6, 1)))
    assert caught.value.number == 233


def test_every_advance_of_the_download_cursor_takes_a_version(synced: RealmFile) -> None:
    """An upload position must not stand for two download cursors (wire.md §3)."""
    before = synced.state().local_version

    assert synced.integrate(download(server=2)).version == before + 1
    assert synced.integrate(download(server=2)).version == before + 1


def test_entries_go_once_the_server_cannot_be_concurrent_with_them(synced: RealmFile) -> None:
    """Everything up to the download cursor's client version is trimmed (merge.md §5.4)."""
    first, second = commit(synced, title("a")), commit(synced, title("b"))
    synced.integrate(download(server=2, client=first, upload=(second, 1)))

    history = ClientHistory(synced.store.connection)

    assert [entry.version for entry in history.entries(0)] == [second]


def test_uploads_stop_at_the_soft_limit_and_a_large_one_goes_alone(synced: RealmFile) -> None:
    """Batches end once 128 KiB are reached and never pass 16 MiB, but for a single larger one (wire.md §5.1)."""
    versions = [commit(synced, title("x" * 100)) for _ in range(3)]
    history = ClientHistory(synced.store.connection)
    newest = synced.state().local_version
    size = len(next(history.entries(0)).changeset)

    soft = history.uploadable(0, newest, bytes_soft=size + 1)
    hard = history.uploadable(0, newest, bytes_hard=size + 1)
    whole = history.uploadable(0, newest)

    assert [entry.version for entry in soft.entries] == versions[:2]
    assert (soft.progress_client, soft.progress_server, soft.is_last) == (versions[1], 1, False)
    assert [entry.version for entry in hard.entries] == versions[:1]
    assert [entry.version for entry in whole.entries] == versions
    assert (whole.progress_client, whole.is_last) == (newest, True)


def test_an_upload_without_changesets_reports_how_far_it_looked(synced: RealmFile) -> None:
    """Versions without a local changeset are skipped, and count as looked at (wire.md §5.1)."""
    read = synced.read_upload(0)

    assert read.entries == ()
    assert (read.progress_client, read.progress_server, read.locked) == (synced.state().local_version, 1, 1)


def test_pending_uploads_are_what_is_beyond_the_upload_cursor(synced: RealmFile) -> None:
    """An upload wait ends when no local changeset is left (wire.md §5.5)."""
    version = commit(synced, title("a"))
    assert synced.pending_upload().first == version

    synced.integrate(download(server=1, upload=(version, 1)))

    assert synced.pending_upload().first is None


def test_a_fresh_ident_gets_into_keys_made_before(file: RealmFile) -> None:
    """Objects and link targets with hi = 0 take the ident; others and other bytes stay (merge.md §5.4)."""
    early, other = GlobalKey(0, 5), GlobalKey(3, 5)
    changeset = encode(
        Changeset(
            [
                AddTable("Note", ClassKind.TOP_LEVEL),
                CreateObject("Note", early),
                Update("Note", early, "next", [], Link("Note", early)),
                Update("Note", other, "next", [], Link("Note", other)),
            ]
        )
    )

    fixed = decode(fix_global_keys(changeset, 7)).instructions

    late = GlobalKey(7, 5)
    assert fixed[1:] == [
        CreateObject("Note", late),
        Update("Note", late, "next", [], Link("Note", late)),
        Update("Note", other, "next", [], Link("Note", other)),
    ]
    unchanged = encode(Changeset(SCHEMA))
    assert fix_global_keys(unchanged, 7) is unchanged


def test_the_ident_resets_the_client_versions(file: RealmFile) -> None:
    """Both progress client versions start again with the ident (merge.md §5.4)."""
    commit(file, *SCHEMA)
    file.store_ident(7, 99)

    assert file.state().progress == SyncProgress()
    assert file.state().local_version == 2
    assert [entry.client_version for entry in file.read_upload(0).entries] == [1]


def test_polling_notices_other_connections_only(synced: RealmFile, tmp_path: Path) -> None:
    """Commits of other processes are seen by `data_version`; own ones are known."""
    synced.poll()
    assert synced.poll() is None
    commit(synced, title("own"))
    assert synced.poll() is None

    other = RealmFile(tmp_path / "realm.hldb")
    version = commit(other, title("other"))
    other.close()

    assert synced.poll() == version


def test_questions_of_other_processes_are_numbered(synced: RealmFile) -> None:
    """A process without the session asks through the file for a download wait."""
    assert synced.download_questions() == (0, 0)
    number = synced.ask_for_download()
    assert synced.download_questions() == (number, 0)
    synced.answer_download(number)
    assert synced.download_questions() == (number, number)
