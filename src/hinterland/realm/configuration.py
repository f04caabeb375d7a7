"""What a realm is opened with.

The synchronisation hooks at the end are how `sync` takes part without `realm` knowing of it:
`opener` prepares the file, `on_open` attaches a session, `changeset_sink` stores local changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from hinterland.errors import ConfigurationError, WrongThreadError
from hinterland.store.connection import check_key

if TYPE_CHECKING:
    from hinterland.realm.objects import ObjectBase
    from hinterland.realm.realm import Realm
    from hinterland.realm.scheduling import Scheduler
    from hinterland.store.transaction import WriteTransaction

__all__ = ["ChangesetSink", "Configuration", "Opener", "ProgressCallback", "configuration_of"]

ChangesetSink: TypeAlias = "Callable[[WriteTransaction, int, bytes], None]"
"""Called inside the transaction, right before its commit: transaction, the version it makes, changeset."""

ProgressCallback: TypeAlias = Callable[..., None]
"""Receives download progress; its arguments are those of the session's progress handlers."""


class Opener(Protocol):
    """Prepares a realm's file before it is opened, for example by downloading the server's state."""

    def open(
        self,
        configuration: Configuration,
        *,
        download: bool,
        progress: ProgressCallback | None,
        timeout_s: float | None,
    ) -> None:
        """Prepare the file, blocking; with `download` wait for the server's state."""

    async def open_async(
        self, configuration: Configuration, *, progress: ProgressCallback | None, timeout_s: float | None
    ) -> None:
        """Prepare the file and wait for the server's state."""

    def complete(self, realm: Realm, *, progress: ProgressCallback | None, timeout_s: float | None) -> None:
        """Wait for what opening the realm has asked for, such as initial subscriptions; blocking.

        If that fails, the realm is closed.
        """

    async def complete_async(self, realm: Realm, *, progress: ProgressCallback | None, timeout_s: float | None) -> None:
        """Do what `complete` does without blocking."""

    def attach(
        self,
        configuration: Configuration,
        local_path: str,
        local_key: bytes | None,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        """Copy what is in a local realm's file into the prepared one, all or nothing."""


@dataclass(slots=True)
class Configuration:
    """How to open a realm.

    Attributes:
        path: The realm file; made if it is absent.
        schema: The classes to use; they are added to the file where it lacks them.
        schema_version: The number of the schema; raise it when a property changes its type or goes.
        migration: Called with the old and the new realm, as `DynamicRealm` and `MigrationRealm`, when
            the file has a lower schema_version; it runs inside one write transaction.
        delete_if_migration_needed: Delete the file and start with an empty one instead of migrating;
            for development.
        encryption_key: The key with which the file is encrypted, 32 or 64 bytes; a file that is made gets it.
            Needs the extra `encryption`.
        read_only: Never write; the file must exist and have the classes of `schema`.
        in_memory: Keep the data in a temporary file that goes with the last instance; `path` is
            then only the name by which instances of this process share it.
        initial_data: Called once with the realm inside its first write transaction, when the file is new.
        compact_on_launch: Called with the file's bytes and those in use when the first instance of this
            process opens it; the file is compacted if it returns True.
        max_active_versions: Refuse to begin a transaction while a reader of this process pins a
            version this much older.
        durable: Whether a commit survives a power failure; if not, it still survives a crash of the process.
        scheduler: The event loop of the realm's thread, if it is not asyncio's; through it notifications
            and other threads' and processes' changes arrive by themselves.
        busy_timeout_s: How long `write()` waits for another writer of the file.
        changeset_sink: Receives each commit's changeset, if it is not empty; nothing is recorded without it.
        on_open: Called with each realm that was opened; what it returns becomes `realm.session`.
        on_close: Called with each realm right before it closes.
        opener: Prepares the file first.
        sync: Whatever the synchronising side wants to find again.
        query_based: Whether the realm has subscriptions and only what they ask for.
        initial_subscriptions: Called with a query-based realm when it is opened for the first time, to subscribe to
            what it should have from the beginning; all that becomes one set.
        rerun_on_open: Call `initial_subscriptions` again whenever the first instance of this process opens the
            realm, for queries that speak of the present time.
    """

    path: str | Path
    schema: Sequence[type[ObjectBase]] | None = None
    schema_version: int = 0
    migration: Callable[..., None] | None = None
    encryption_key: bytes | None = field(default=None, repr=False)
    read_only: bool = False
    in_memory: bool = False
    initial_data: Callable[[Realm], None] | None = None
    compact_on_launch: Callable[[int, int], bool] | None = None
    max_active_versions: int | None = None
    durable: bool = True
    busy_timeout_s: float = 30.0
    changeset_sink: ChangesetSink | None = None
    on_open: Callable[[Realm], Any] | None = None
    on_close: Callable[[Realm], None] | None = None
    opener: Opener | None = None
    sync: object | None = None
    delete_if_migration_needed: bool = False
    scheduler: Scheduler | None = None
    query_based: bool = False
    initial_subscriptions: Callable[[Realm], None] | None = None
    rerun_on_open: bool = False

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: Names the field and what to do.
        """
        if not isinstance(self.path, (str, Path)):
            raise ConfigurationError(f"Configuration.path must be a str or Path, not {self.path!r}")
        _check_schema(self.schema)
        if not str(self.path):
            raise ConfigurationError("Configuration.path is empty; name a file")
        check_key(self.encryption_key, "Configuration.encryption_key")
        if self.encryption_key is not None and self.in_memory:
            raise ConfigurationError("Configuration: in_memory realms cannot be encrypted; leave out encryption_key")
        if type(self.schema_version) is not int or not 0 <= self.schema_version < 2**63:
            raise ConfigurationError(f"Configuration.schema_version is an int from 0, not {self.schema_version!r}")
        if self.max_active_versions is not None and self.max_active_versions < 1:
            raise ConfigurationError("Configuration.max_active_versions is at least 1, or None for no bound")
        if self.changeset_sink is not None and (self.migration is not None or self.delete_if_migration_needed):
            raise ConfigurationError(
                "Configuration: a synchronised realm accepts additive changes of its schema only, which need no"
                " migration; leave out migration and delete_if_migration_needed"
            )
        _check_scheduler(self.scheduler, self.path)
        if self.read_only and self.delete_if_migration_needed:
            raise ConfigurationError("Configuration: read_only and delete_if_migration_needed contradict each other")
        if self.read_only and self.in_memory:
            raise ConfigurationError("Configuration: read_only and in_memory contradict each other")
        if self.read_only and self.initial_data is not None:
            raise ConfigurationError("Configuration: initial_data needs a realm that is not read_only")
        if self.initial_subscriptions is not None and not self.query_based:
            raise ConfigurationError(
                "Configuration: initial_subscriptions needs a query-based realm, as of"
                " user.configuration(path, sync='query'); leave it out"
            )
        if self.initial_subscriptions is not None and not callable(self.initial_subscriptions):
            raise ConfigurationError(
                "Configuration.initial_subscriptions is a function of the realm that subscribes to something, not"
                f" {self.initial_subscriptions!r}"
            )
        if self.rerun_on_open and self.initial_subscriptions is None:
            raise ConfigurationError("Configuration: rerun_on_open needs initial_subscriptions to run")


def configuration_of(
    source: str | Path | Configuration, schema: Sequence[type[ObjectBase]] | None, options: Mapping[str, Any]
) -> Configuration:
    """Return the configuration that the arguments of `Realm.open` stand for."""
    if isinstance(source, Configuration):
        if schema is not None:
            options = {**options, "schema": schema}
        if not options:
            return source
    try:
        if isinstance(source, Configuration):
            return replace(source, **options)
        return Configuration(source, schema=schema, **options)
    except TypeError as error:
        raise ConfigurationError(f"Realm.open: {error}") from None


def _check_scheduler(scheduler: object, path: str | Path) -> None:
    """Refuse what cannot schedule, and a realm that is opened on another thread than the scheduler's."""
    if scheduler is None:
        return
    from hinterland.realm.scheduling import Scheduler

    if not isinstance(scheduler, Scheduler):
        raise ConfigurationError(
            f"Configuration.scheduler needs methods schedule(callback) and is_on_thread(), as in hinterland.Scheduler,"
            f" and {type(scheduler).__name__} has not both"
        )
    if not scheduler.is_on_thread():
        raise WrongThreadError(f"{path} is opened on another thread than its scheduler's; open it there")


def _check_schema(schema: object) -> None:
    """Refuse what is no list of declared classes."""
    if schema is None:
        return
    if not isinstance(schema, Sequence) or isinstance(schema, str):
        raise ConfigurationError(f"Configuration.schema must be a list of classes, such as [Person], not {schema!r}")
    for one in schema:
        if not hasattr(one, "__hinterland__"):
            raise ConfigurationError(
                f"Configuration.schema: {one!r} is not a class that derives from Object or EmbeddedObject"
            )
