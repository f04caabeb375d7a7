"""A synchronised realm's file as its session uses it: every job that touches the disk.

One object, one store connection, one worker thread: the owner runs all methods on the same `Worker`.
No snapshot stays pinned between jobs, so that the file's WAL can be checkpointed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hinterland.errors import ConfigurationError
from hinterland.protocol.client_session import FileState
from hinterland.protocol.messages import Download, UploadEntry
from hinterland.store.client_history import UPLOAD_BYTES_SOFT, ClientHistory, FileIdent
from hinterland.store.collector import collector_paused
from hinterland.store.pending_bootstraps import PendingBootstraps
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.store.transaction import WriteTransaction
from hinterland.sync.integration import Integrated, Integrator, fix_global_keys, to_wire
from hinterland.sync.kept_copies import DELETE_FROM

__all__ = ["RESET_ATTEMPT", "PendingUpload", "RealmFile", "UploadRead", "prepare_file"]

RESET_ATTEMPT: Final = "sync.reset_attempt"
_OWNER: Final = "sync.owner"
_ASKED: Final = "sync.download_asked"
_ANSWERED: Final = "sync.download_answered"


def prepare_file(path: Path, key: bytes | None = None, *, user: str, realm: str, is_query_based: bool = False) -> None:
    """Make the file at `path` if it is absent, and ready for local changes that are to be uploaded.

    Args:
        path: The file.
        key: Its encryption key.
        user: The identity of the user whose copy it is.
        realm: The realm's path on the server.
        is_query_based: The realm's kind.

    Raises:
        ConfigurationError: The file belongs to another user or realm, or to a realm of the other kind.
    """
    store = Store.open(path, key=key)
    try:
        _check_owner(store, user, realm)
        _prepare(store, is_query_based=is_query_based)
        if not store.setting(_OWNER, ""):
            with store.begin_write() as transaction:
                transaction.set_setting(_OWNER, _owner(user, realm))
                transaction.commit(store.version)
    finally:
        store.close()


def _check_owner(store: Store, user: str, realm: str) -> None:
    """Refuse a file with what another user may see or has still to upload, or that holds another realm."""
    found = str(store.setting(_OWNER, ""))
    if found not in ("", _owner(user, realm)):
        other, path = found.split(" ", 1)
        raise ConfigurationError(
            f"{store.path} is the copy that user {other!r} has of {path!r}, so it cannot be opened as that of {user!r} of"
            f" {realm!r}; leave out the option file, or name one for each user and realm"
        )


def _owner(user: str, realm: str) -> str:
    return f"{user} {realm}"


def _prepare(store: Store, *, is_query_based: bool) -> None:
    has_history = ClientHistory(store.connection).exists
    if has_history and SubscriptionSets(store.connection).exists != is_query_based:
        mode, other = ("query", "fully") if is_query_based else ("full", "query-based")
        raise ConfigurationError(
            f"{store.path} holds a {other} synchronised realm, so it cannot be opened with sync={mode!r}; "
            "leave out the option file, or name another one"
        )
    if not has_history:
        with store.begin_write() as transaction:
            ClientHistory.create_tables(transaction)
            if is_query_based:
                SubscriptionSets.create_tables(transaction)
                PendingBootstraps.create_tables(transaction)
            transaction.commit(store.version)
    store.end_read()


@dataclass(frozen=True, slots=True)
class UploadRead:
    """What to put into an UPLOAD."""

    entries: tuple[UploadEntry, ...]
    progress_client: int
    progress_server: int
    locked: int


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """What the server has not acknowledged of a file at `version`: first such commit, and bytes."""

    version: int
    first: int | None
    size: int


class RealmFile:
    """See the module.

    Args:
        path: The file.
        durable: See `Store.open`.
        key: Its encryption key.
        upload_bytes_soft: At this size an UPLOAD is full.
    """

    is_query_based = False

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = True,
        key: bytes | None = None,
        upload_bytes_soft: int = UPLOAD_BYTES_SOFT,
    ) -> None:
        self.path = path
        self._upload_bytes_soft = upload_bytes_soft
        self._store = Store.open(path, durable=durable, key=key)
        self._history = ClientHistory(self._store.connection)
        _prepare(self._store, is_query_based=self.is_query_based)
        self._integrator = Integrator(self._store)
        self._data_version = -1

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    @property
    def store(self) -> Store:
        """The store, for a client reset."""
        return self._store

    def restart(self) -> None:
        """Forget what was cached about the history; call after it was replaced."""
        self._integrator = Integrator(self._store)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Leave no snapshot pinned."""
        try:
            self._store.end_read()
            yield
        finally:
            self._store.end_read()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        with self._guard():
            self._store.begin_read()
            yield

    @contextmanager
    def _write(self) -> Iterator[WriteTransaction]:
        """A write transaction that the body commits."""
        with self._guard(), self._store.begin_write() as transaction:
            yield transaction

    def state(self) -> FileState:
        """Return where a session has to start."""
        with self._snapshot():
            ident, salt = self._history.ident
            return FileState(ident, salt, to_wire(self._history.progress), self._store.version)

    def store_ident(self, ident: int, salt: int) -> int:
        """Store what the server assigned; return the version it made."""
        with self._write() as transaction:
            ClientHistory.store_ident(transaction, FileIdent(ident, salt), fix_global_keys)
            return transaction.commit()

    def integrate(self, download: Download) -> Integrated:
        """Store a DOWNLOAD (see `Integrator.integrate`)."""
        size = sum(len(entry.changeset) for entry in download.entries)
        with collector_paused(size), self._guard():
            return self._integrator.integrate(download)

    def read_upload(self, after: int, until: tuple[int, int] | None = None) -> UploadRead:
        """Find what to upload after a local version; see `UploadWanted`."""
        with self._snapshot():
            return self._read_upload(after, until)

    def _read_upload(self, after: int, until: tuple[int, int] | None) -> UploadRead:
        batch = self._history.uploadable(after, self._store.version, until=until, bytes_soft=self._upload_bytes_soft)
        entries = tuple(
            UploadEntry(one.version, one.remote_version, one.timestamp, 0, one.changeset) for one in batch.entries
        )
        return UploadRead(entries, batch.progress_client, batch.progress_server, batch.locked_server)

    def pending_upload(self) -> PendingUpload:
        """Find what the server has not acknowledged."""
        with self._snapshot():
            after = self._history.progress.upload_client
            first = self._history.first_pending(after)
            size = 0 if first is None else self._history.pending_bytes(after)
            return PendingUpload(self._store.version, first, size)

    def ask_for_download(self) -> int:
        """Ask the process that runs the session to wait for a download; return the question's number."""
        with self._write() as transaction:
            number = self._number(_ASKED) + 1
            transaction.set_setting(_ASKED, number)
            transaction.commit(self._store.version)
        return number

    def answer_download(self, number: int) -> None:
        """Answer all questions of other processes up to this number."""
        with self._write() as transaction:
            transaction.set_setting(_ANSWERED, number)
            transaction.commit(self._store.version)

    def download_questions(self) -> tuple[int, int]:
        """Return the numbers of the last question asked and of the last one answered."""
        with self._snapshot():
            return self._number(_ASKED), self._number(_ANSWERED)

    def reset_attempt(self) -> str:
        """Return what the last client reset tried, if no complete exchange has followed it; else ""."""
        with self._snapshot():
            return str(self._store.setting(RESET_ATTEMPT, ""))

    def end_reset(self) -> None:
        """Say that everything was exchanged since the client reset."""
        with self._write() as transaction:
            transaction.set_setting(RESET_ATTEMPT, "")
            transaction.commit(self._store.version)

    def mark_for_deletion(self) -> None:
        """Have the file deleted when nobody uses it any more; a copy of it as it is now has been kept."""
        with self._write() as transaction:
            transaction.set_setting(DELETE_FROM, self._store.version)
            transaction.commit(self._store.version)

    def _number(self, name: str) -> int:
        value = self._store.setting(name, 0)
        return value if isinstance(value, int) else 0

    def poll(self) -> int | None:
        """Return the file's version if some other connection has committed since the last call."""
        with self._guard():
            found = self._store.connection.execute("PRAGMA data_version").fetchone()[0]
        if found == self._data_version:
            return None
        self._data_version = found
        with self._snapshot():
            return self._store.version
