"""From a user and a path to a realm configuration that synchronises.

The realm layer knows nothing of synchronisation; it calls the hooks that are set here.

Source: api.md "Users and synced realms"; features.md §3.4, §3.5.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hinterland.errors import ConfigurationError, TimedOutError
from hinterland.realm.configuration import Configuration, ProgressCallback
from hinterland.realm.files import OpenFile
from hinterland.realm.objects import AsymmetricObject
from hinterland.store.client_history import ClientHistory
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.store.transaction import WriteTransaction
from hinterland.sync.attaching import attach
from hinterland.sync.connection import ConnectionTimes
from hinterland.sync.kept_copies import delete_if_marked
from hinterland.sync.loop import background_loop
from hinterland.sync.realm_file import prepare_file
from hinterland.sync.session import Session, SessionRegistry
from hinterland.sync.settings import ClientReset, ErrorHandler, StopPolicy, SyncMode, SyncSettings
from hinterland.sync.user_store import encode_name, make_private
from hinterland.sync.wire_time import wire_timestamp

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm
    from hinterland.sync.users import SyncUser

__all__ = ["realm_path", "synced_configuration"]

HAND_OVER_S: Final = 2.0
QUERY_FOLDER: Final = "query-based"
_OWN_FIELDS: Final = frozenset(
    {"path", "schema", "changeset_sink", "on_open", "on_close", "opener", "sync", "query_based"}
)
SYNC_MODES: Final = ("full", "query")
STOP_POLICIES: Final = ("after-upload", "immediately", "never")
_is_path = re.compile(r"(/[\w\-@|:+= ][\w\-.@|:+= ]*)+").fullmatch
_REFUSED_ENDS: Final = (".realm", ".realm.lock", ".realm.management", ".hldb")


def synced_configuration(
    user: SyncUser,
    path: str,
    schema: Sequence[type[Any]],
    *,
    error_handler: ErrorHandler | None = None,
    client_reset: ClientReset | None = None,
    stop_policy: StopPolicy = "after-upload",
    times: ConnectionTimes | None = None,
    sync: SyncMode = "full",
    **options: Any,
) -> Configuration:
    """Return the configuration; see `SyncUser.configuration`."""
    if stop_policy not in STOP_POLICIES:
        raise ConfigurationError(f"stop_policy is {stop_policy!r}; choose one of {', '.join(STOP_POLICIES)}")
    for name in ("in_memory", "migration", "read_only"):
        if options.get(name):
            raise ConfigurationError(f"{name} cannot be used with a synchronised realm")
    if sync not in SYNC_MODES:
        raise ConfigurationError(f"sync is {sync!r}; choose one of {', '.join(SYNC_MODES)}")
    allowed = {each.name for each in fields(Configuration)} - _OWN_FIELDS | {"file"}
    for name in options:
        if name not in allowed:
            raise ConfigurationError(f"SyncUser.configuration has no option {name!r}")
    settings = SyncSettings(
        user,
        realm_path(path, user),
        schema,
        error_handler,
        client_reset or ClientReset.recover_or_discard(),
        stop_policy,
        times or ConnectionTimes(),
        options.get("encryption_key"),
        sync == "query",
    )
    hooks = _Hooks(settings)
    # A realm is of one kind on the server; should that change, each kind has its own file here.
    folder = user.realm_folder / QUERY_FOLDER if settings.is_query_based else user.realm_folder
    file = folder / (encode_name(settings.path.strip("/")) + ".hldb")
    return Configuration(
        path=options.pop("file", file),
        schema=schema,
        changeset_sink=hooks.store_changeset,
        on_open=hooks.join,
        on_close=hooks.leave,
        opener=hooks,
        sync=settings,
        query_based=settings.is_query_based,
        **options,
    )


def realm_path(path: str, user: SyncUser) -> str:
    """Return a realm's path on the server: absolute, `~` replaced, checked.

    Raises:
        ConfigurationError: It is no path, or belongs to another server.
    """
    if "://" in path:
        parts = urlsplit(path)
        if parts.netloc != urlsplit(user.server).netloc:
            raise ConfigurationError(f"{path!r} is at another server than the user, who is at {user.server}")
        path = parts.path
    whole = path if path.startswith("/") else f"/{path}"
    whole = "/".join(user.identity if part == "~" else part for part in whole.split("/"))
    if not _is_path(whole) or whole.endswith(_REFUSED_ENDS):
        raise ConfigurationError(
            f"{path!r} is not a realm's path: segments of letters, digits and '_-.@|:+= ', none starting with a dot, like '/~/tasks'"
        )
    return whole


class _Hooks:
    """What the realm layer calls for one configuration."""

    def __init__(self, settings: SyncSettings) -> None:
        self._settings = settings
        self._attached: dict[int, Session] = {}
        self._handed_over: list[Session] = []
        self._lock = threading.Lock()

    def store_changeset(self, transaction: WriteTransaction, version: int, changeset: bytes) -> None:
        """Keep a local commit's changeset for upload, in that very commit."""
        ClientHistory.append_local(transaction, version, changeset, wire_timestamp())

    def join(self, realm: Realm) -> Session:
        """Start (or join) the session of a realm that was opened."""
        session = SessionRegistry.acquire(Path(realm.configuration.path), self._settings)
        self._attached[id(realm)] = session
        self._end_hand_over(session)
        return session

    def leave(self, realm: Realm) -> None:
        """Leave the session of a realm that closes."""
        session = self._attached.pop(id(realm), None)
        if session is not None:
            SessionRegistry.release(session)

    def open(
        self,
        configuration: Configuration,
        *,
        download: bool,
        progress: ProgressCallback | None,
        timeout_s: float | None,
    ) -> None:
        """Prepare the file; with `download` wait for the server's state first."""
        file = _prepare(configuration, self._settings)
        if not download:
            return
        session = SessionRegistry.acquire(file, self._settings)
        try:
            with _watched(session, progress):
                session.wait_for_download(timeout_s)
        finally:
            self._hand_over(session)

    async def open_async(
        self, configuration: Configuration, *, progress: ProgressCallback | None, timeout_s: float | None
    ) -> None:
        """Prepare the file and wait for the server's state."""
        file = await asyncio.to_thread(_prepare, configuration, self._settings)
        session = SessionRegistry.acquire(file, self._settings)
        try:
            with _watched(session, progress):
                await _within(session, timeout_s)
        finally:
            self._hand_over(session)

    def complete(self, realm: Realm, *, progress: ProgressCallback | None, timeout_s: float | None) -> None:
        """Wait for the subscriptions that were made as the realm was opened."""
        if self._settings.is_query_based and _has_pending_sets(realm):
            with _closed_on_failure(realm), _watched(realm.session, progress):
                realm.session.wait_for_download(timeout_s)
            realm.refresh()

    async def complete_async(self, realm: Realm, *, progress: ProgressCallback | None, timeout_s: float | None) -> None:
        """Wait for the subscriptions that were made as the realm was opened."""
        if self._settings.is_query_based and _has_pending_sets(realm):
            with _closed_on_failure(realm), _watched(realm.session, progress):
                await _within(realm.session, timeout_s)
            realm.refresh()

    def attach(
        self,
        configuration: Configuration,
        local_path: str,
        local_key: bytes | None,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        """Copy a local realm into the synchronised one."""
        _prepare(configuration, self._settings)
        if self._settings.is_query_based:
            from hinterland.realm.realm import Realm

            Realm.open(configuration).close()  # which makes the initial subscriptions
        attach(configuration, local_path, local_key, progress)

    def _hand_over(self, session: Session) -> None:
        """Keep the session until the realm that is about to open has taken it over, or could not be opened."""
        with self._lock:
            self._handed_over.append(session)
        background = background_loop()
        background.call(background.loop.call_later, HAND_OVER_S, self._end_hand_over, session)

    def _end_hand_over(self, session: Session) -> None:
        with self._lock:
            if session not in self._handed_over:
                return
            self._handed_over.remove(session)
        SessionRegistry.release(session)


def _has_pending_sets(realm: Realm) -> bool:
    return bool(SubscriptionSets(realm._store.connection).pending())


@contextmanager
def _watched(session: Session, progress: ProgressCallback | None) -> Iterator[None]:
    """Tell of the download while it is waited for, and of nothing that comes later."""
    if progress is None:
        yield
        return
    token = session.add_progress_handler("download", progress, mode="current")
    try:
        yield
    finally:
        token.cancel()


@contextmanager
def _closed_on_failure(realm: Realm) -> Iterator[None]:
    """Nobody gets a realm whose opening failed, so nobody else could close it."""
    try:
        yield
    except BaseException:
        realm.close()
        raise


async def _within(session: Session, timeout_s: float | None) -> None:
    """Wait for the download, but not for ever."""
    try:
        async with asyncio.timeout(timeout_s):
            await session.downloaded()
    except TimeoutError as error:
        raise TimedOutError(
            f"{session.path!r} was not downloaded after {timeout_s} s; the session is {session.state}, "
            f"the connection {session.connection}"
        ) from error


def _prepare(configuration: Configuration, settings: SyncSettings) -> Path:
    if not settings.is_query_based:
        _check_classes(configuration)
    file = Path(configuration.path)
    make_private(file.parent)
    delete_if_marked(file, configuration.encryption_key)
    opened = OpenFile.take(file, in_memory=False, key=configuration.encryption_key)
    try:
        prepare_file(
            file,
            configuration.encryption_key,
            user=settings.user.identity,
            realm=settings.path,
            is_query_based=settings.is_query_based,
        )
    finally:
        opened.release()
    return file


def _check_classes(configuration: Configuration) -> None:
    """Refuse what only query-based realms have (flx.md §7 scenario 54)."""
    for cls in configuration.schema or ():
        if issubclass(cls, AsymmetricObject):
            raise ConfigurationError(
                f"{cls.__name__} is an asymmetric class, whose objects only query-based realms take; open a realm of its"
                " own for such data with sync='query', or make it an hl.Object"
            )
