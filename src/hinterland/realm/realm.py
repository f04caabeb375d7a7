"""The realm: one open file on one thread, its classes, transactions and snapshots."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

from hinterland.changeset.recorder import Recorder
from hinterland.errors import (
    ClosedError,
    ConfigurationError,
    NotInWriteError,
    ReadOnlyError,
    SchemaError,
    UsageError,
    ValueTypeError,
    WrongThreadError,
)
from hinterland.realm import adding, creating, deleting
from hinterland.realm.access import Access, with_permission_classes
from hinterland.realm.attaching import Attaching
from hinterland.realm.binding import Attempt, Binding
from hinterland.realm.configuration import Configuration, ProgressCallback, configuration_of
from hinterland.realm.dynamic import DynamicRealm
from hinterland.realm.file_care import FileCare, compact_on_launch
from hinterland.realm.files import OpenFile, delete_files, let_go
from hinterland.realm.notifications import Notifier, Token
from hinterland.realm.objects import ObjectBase
from hinterland.realm.recording import record_value
from hinterland.realm.results import Results
from hinterland.realm.schema_update import SCHEMA_VERSION, MigrationNeeded, update_schema
from hinterland.realm.snapshots import Snapshots
from hinterland.realm.subscribed import Subscribed, check_file, subscription_book
from hinterland.realm.sweep import Sweeps
from hinterland.realm.write_block import WriteBlock
from hinterland.realm.writer import Reference, Writer
from hinterland.schema.types import Schema
from hinterland.schema.validation import stored_names, validate
from hinterland.store.sqlform import SqlValue
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import brief

__all__ = ["Realm", "UpdateMode"]

O = TypeVar("O", bound=ObjectBase)  # noqa: E741 - the customary letter for an object type
R = TypeVar("R")
UpdateMode = Literal["never", "modified", "all"]


class Realm(Snapshots, FileCare, Attaching, Access, Subscribed):
    """An open realm; see `Realm.open`. It belongs to the thread that opened it, with all its objects."""

    def __init__(self, configuration: Configuration, file: OpenFile, store: Store) -> None:
        """Use `Realm.open` instead."""
        self._configuration = configuration
        self._file = file
        self._store = store
        self._thread = get_ident()
        self._transaction: WriteTransaction | None = None
        self._attempt: Attempt | None = None
        self._changes_before = 0
        self._first_rows: dict[str, int] = {}
        self._mode = "never"
        self._recorder = Recorder() if configuration.changeset_sink is not None else None
        self._bindings: dict[str, Binding] = {}
        self._by_class: dict[type, Binding] = {}
        self._class_names: dict[str, str] = {}
        self._session: Any = None
        self._writer: Writer | None = None
        self._is_closed = False
        self._notifier = Notifier(self)
        self._sweeps = Sweeps()
        self._book = subscription_book(self)

    # -- opening and closing ---------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        source: str | Path | Configuration,
        *,
        schema: Sequence[type[ObjectBase]] | None = None,
        download: bool = False,
        progress: ProgressCallback | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Realm:
        """Open a realm on this thread, making the file if it is absent.

        Args:
            source: The path of the file, or a configuration.
            schema: The classes to use; what the file lacks of them is added.
            download: First wait for the server's state (synced realms).
            progress: Receives download progress.
            timeout: How many seconds the download may take.
            options: Further fields of `Configuration`.

        Raises:
            SchemaError: The classes are wrong, or do not fit those in the file.
            StorageError: The file cannot be opened.
        """
        configuration = configuration_of(source, schema, options)
        opener = configuration.opener
        if opener is None:
            if download:
                raise ConfigurationError(f"{configuration.path} is a local realm; there is nothing to download")
            return cls._open(configuration)
        with OpenFile.opening(configuration.path):
            opener.open(configuration, download=download, progress=progress, timeout_s=timeout)
            realm = cls._open(configuration)
        if download:
            opener.complete(realm, progress=progress, timeout_s=timeout)
        return realm

    @classmethod
    async def open_async(
        cls,
        source: str | Path | Configuration,
        *,
        schema: Sequence[type[ObjectBase]] | None = None,
        progress: ProgressCallback | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's name for it
        **options: Any,
    ) -> Realm:
        """Open a realm; a synced one is returned with the server's state."""
        configuration = configuration_of(source, schema, options)
        opener = configuration.opener
        if opener is None:
            return cls._open(configuration)
        with OpenFile.opening(configuration.path):
            await opener.open_async(configuration, progress=progress, timeout_s=timeout)
            realm = cls._open(configuration)
        await opener.complete_async(realm, progress=progress, timeout_s=timeout)
        return realm

    @classmethod
    def _open(cls, configuration: Configuration, *, session: Any = None, is_sibling: bool = False) -> Realm:
        if not is_sibling:
            configuration.check()
        configuration = with_permission_classes(configuration)
        declarations = validate(one.__hinterland__ for one in configuration.schema or ())
        file = OpenFile.take(configuration.path, in_memory=configuration.in_memory, key=configuration.encryption_key)
        realm = None
        try:
            store = Store.open(
                file.path,
                read_only=configuration.read_only,
                durable=configuration.durable and not configuration.in_memory,
                busy_timeout_s=configuration.busy_timeout_s,
                key=configuration.encryption_key,
            )
            realm = cls(configuration, file, store)
            if file.instances == 1:
                compact_on_launch(configuration, store)
            check_file(realm)
            update_schema(realm, Schema.of(one.schema for one in declarations.values()))
            if is_sibling:
                realm._session = session
            elif configuration.on_open is not None:
                realm._session = configuration.on_open(realm)
        except BaseException as error:
            if realm is None:
                file.release()
            else:
                realm._close()
            if isinstance(error, MigrationNeeded):
                delete_files(configuration.path)
                return cls._open(replace(configuration, delete_if_migration_needed=False), session=session)
            raise
        realm._finalizer = weakref.finalize(realm, let_go, store, file)
        realm._notifier.start()
        return realm

    def _bind(self) -> None:
        """Make the bindings of all declared classes; the file has them."""
        for cls in self._configuration.schema or ():
            binding = Binding(self, cls)
            self._bindings[binding.name] = self._by_class[cls] = binding
        self._class_names = stored_names(binding.declaration for binding in self._bindings.values())

    def _unbind(self) -> None:
        """Forget the bindings; the realm will not open."""
        for binding in self._bindings.values():
            binding.thread = -1
        self._bindings = {}
        self._by_class = {}

    def close(self) -> None:
        """Close the realm; closing twice is harmless. A write transaction is rolled back."""
        if self._is_closed:
            return
        self._check()
        if self._transaction is not None:
            self._rollback()
        if self._configuration.on_close is not None:
            self._configuration.on_close(self)
        self._close()

    def _close(self) -> None:
        self._is_closed = True
        for binding in self._bindings.values():
            binding.thread = -1
        self._notifier.stop()
        if self._writer is not None:
            self._writer.stop()
        if self._finalizer is not None:
            self._finalizer.detach()
        self._store.close()
        self._file.release()

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Realm {self.path}{' (closed)' if self._is_closed else f', version {self._store.version}'}>"

    def _check(self) -> None:
        """Refuse another thread, and a closed realm."""
        if self._is_closed:
            raise ClosedError(f"{self.path} has been closed")
        if get_ident() != self._thread:
            raise WrongThreadError(f"{self.path} was opened by another thread; open it on this thread too")

    @staticmethod
    def delete_files(source: str | Path | Configuration) -> bool:
        """Delete a realm's files; return whether there were any.

        Raises:
            UsageError: This process has the realm open.
        """
        return delete_files(source.path if isinstance(source, Configuration) else source)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The file (for an in-memory realm, its name)."""
        return self._file.name

    @property
    def configuration(self) -> Configuration:
        """What the realm was opened with."""
        return self._configuration

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    @property
    def is_in_write(self) -> bool:
        """Whether a write transaction is open on this realm."""
        return self._transaction is not None

    @property
    def version(self) -> int:
        """The version that is being read; each commit, by anyone, makes the next."""
        self._check()
        return self._store.version

    @property
    def schema(self) -> Schema:
        """All classes in the file."""
        self._check()
        return self._store.schema

    @property
    def schema_version(self) -> int:
        """The schema version of the file; 0 if none was ever declared."""
        self._check()
        found = self._store.setting(SCHEMA_VERSION, 0)
        return found if isinstance(found, int) else 0

    @property
    def dynamic(self) -> DynamicRealm:
        """The realm by names: `realm.dynamic.objects("Person")`, whether the class is declared or not.

        Classes that are not declared are made of what the file says when they are first used.
        """
        self._check()
        return DynamicRealm(self)

    @property
    def session(self) -> Any:
        """The synchronisation session; None for a local realm."""
        return self._session

    # -- reading ---------------------------------------------------------------------------------

    def _binding(self, cls: type | str) -> Binding:
        """Return the binding of a class, checking thread and realm."""
        self._check()
        found = self._bindings.get(cls) if isinstance(cls, str) else self._by_class.get(cls)
        if found is None:
            name = cls if isinstance(cls, str) else getattr(cls, "__name__", repr(cls))
            raise SchemaError(f"{name} is not among the classes with which {self.path} was opened")
        return found

    def object(self, cls: type[O], key: Any) -> O | None:
        """Return the object with a primary key, or None."""
        binding = self._by_class.get(cls)
        if binding is None or get_ident() != binding.thread:
            binding = self._binding(cls)
        found: Any = binding.find_by_key(key)
        return found  # type: ignore[no-any-return]

    def objects(self, cls: type[O]) -> Results[O]:
        """Return all objects of a class: live, and read when used."""
        return Results(self._binding(cls))

    def refresh(self) -> bool:
        """Move to the newest version; return whether that is another one.

        Inside a write transaction nothing happens: that is the newest version.
        """
        self._check()
        if self._transaction is not None or self.is_frozen:
            return False
        self._sweeps.settle()
        if not self._store.refresh():
            if self._book is not None:  # states of subscriptions change without a new version
                self._book.look()
            return False
        self._moved()
        self._notifier.deliver()
        return True

    @property
    def auto_refresh(self) -> bool:
        """Whether the realm follows others' commits by itself, when an asyncio loop runs or it has a scheduler."""
        return self._notifier.auto_refresh

    @auto_refresh.setter
    def auto_refresh(self, value: bool) -> None:
        self._notifier.auto_refresh = bool(value)

    def observe(self, callback: Callable[[Realm], None]) -> Token:
        """Call `callback(realm)` after each change of the realm, by whomever.

        Calls happen on this realm's thread: from its asyncio loop or scheduler, if there is one, or
        else in `refresh`, `write` and at the end of a transaction.
        """
        self._check()
        return self._notifier.add(callback)

    def observe_schema(self, callback: Callable[[Realm, Schema], None]) -> Token:
        """Call `callback(realm, schema)` when the file got other classes or properties, by whomever.

        New classes are reached by name, as `realm.dynamic.objects("Person")`.
        """
        self._check()
        return self._notifier.add_schema_observer(callback)

    def _moved(self) -> None:
        """The snapshot is another one: images are stale, classes may have new tables."""
        tables = self._store.tables
        for binding in self._bindings.values():
            if binding.name not in tables:  # a class that was being added when its transaction failed
                continue
            if tables[binding.name] is not binding.table:
                binding.attach()
            else:
                binding.renew()

    def _flush(self) -> None:
        """Make SQL see what is buffered."""
        if self._transaction is not None:
            self._transaction.flush()

    def _links_revived(self) -> None:
        """An object came back that hidden links pointed to."""
        for binding in self._bindings.values():
            binding.side_stamp = object()

    # -- writing ---------------------------------------------------------------------------------

    def write(self, *, without_notifying: Iterable[Token] = ()) -> AbstractContextManager[Realm]:
        """Open a write transaction; commit at the end, or roll back if an exception leaves the block.

        Args:
            without_notifying: Observations of this realm instance that need not be told, because
                the program shows the change already.
        """
        return WriteBlock(self, tuple(without_notifying))

    async def write_async(self, function: Callable[[Realm], R]) -> R:
        """Run `function(realm)` in a write transaction on the realm's writer thread.

        Returns:
            What the function returned; an object comes as this realm's object.
        """
        self._check()
        if self._writer is None:
            own = replace(self._configuration, initial_data=None, scheduler=None, rerun_on_open=False)
            self._writer = Writer(own, self._session)
        result = await self._writer.run(function)
        self.refresh()
        return cast("R", self._resolve(result))

    def _resolve(self, result: Any) -> Any:
        return self._bindings[result.class_name].get(result.row) if isinstance(result, Reference) else result

    def _begin(self) -> None:
        self._check()
        if self._transaction is not None:
            raise UsageError(f"{self.path} is already in a write transaction; transactions cannot be nested")
        store = self._store
        before = store.version
        if self.is_frozen:
            raise ReadOnlyError(f"this instance of {self.path} is frozen; write to the live one, see thaw()")
        self._sweeps.settle()
        transaction = store.begin_write()
        try:
            self._check_versions()
        except BaseException:
            transaction.rollback()
            self._moved()
            raise
        self._transaction = transaction
        self._changes_before = store.connection.total_changes
        has_moved = store.version != before
        if has_moved:
            self._moved()
        self._attempt = Attempt()
        self._rejoin()
        if has_moved:
            self._notifier.deliver()

    def _rejoin(self) -> None:
        """Let bindings that were made inside the transaction take part in it."""
        self._first_rows = {name: table.next_row for name, table in self._store.tables.items()}
        attempt = self._attempt
        for binding in self._bindings.values():
            binding.is_writing = True
            binding.writers = binding.active_writers
            binding.stamp[1] = attempt

    def _commit(self, silent: tuple[Token, ...] = ()) -> None:
        transaction = self._transaction
        assert transaction is not None
        store = self._store
        version = store.version + 1
        try:
            if self._book is not None:
                self._book.store(transaction, version)
            transaction.flush()
            if self._recorder is not None:
                self._store_changeset(transaction, self._recorder, version)
            if store.connection.total_changes == self._changes_before and not transaction.has_changed_schema:
                transaction.rollback()
                self._end()
                if store.version != version - 1:  # somebody else's commit came in between
                    self._moved()
                self._notifier.settle()
                return
            transaction.commit(version)
        except BaseException:
            self._rollback()
            self._notifier.settle()
            raise
        self._end()
        if store.version == version:
            tables = store.tables
            for name, binding in self._bindings.items():
                if tables.get(name) is binding.table:
                    binding.keep()
                else:
                    binding.attach()
        else:
            self._moved()
        self._notifier.deliver(silent)

    def _store_changeset(self, transaction: WriteTransaction, recorder: Recorder, version: int) -> None:
        changeset = recorder.take()
        if changeset:
            deleting.forget_asymmetric(self)
            sink = self._configuration.changeset_sink
            assert sink is not None
            sink(transaction, version, changeset)

    def _rollback(self) -> None:
        if self._store.transaction is not None:
            self._store.transaction.rollback()
        if self._attempt is not None:
            self._attempt.first_rows = self._first_rows
        if self._recorder is not None:
            self._recorder.discard()
        self._end()
        self._moved()

    def _end(self) -> None:
        self._transaction = None
        self._attempt = None
        if self._book is not None:
            self._book.forget()
        for binding in self._bindings.values():
            binding.is_writing = False
            binding.writers = binding.refusing_writers

    def _check_write(self) -> None:
        self._check()
        if self._transaction is None:
            if self._store.read_only:
                raise ReadOnlyError(f"{self.path} was opened read-only")
            raise NotInWriteError(f"{self.path} changes inside `with realm.write():` only")

    def add(self, obj: O, *, update: UpdateMode = "never") -> O:
        """Put an unmanaged object into the realm, with the unmanaged objects it links to.

        The object itself becomes managed, and is returned. If the transaction is rolled back, it
        becomes invalid.

        Args:
            obj: An object of one of the realm's classes; one that is in this realm stays as it is.
            update: What to do if the primary key exists: "never" refuses, "modified" writes what
                differs, "all" writes everything.

        Raises:
            DuplicateKeyError: The key exists, and `update` is "never".
        """
        self._check_write()
        if not isinstance(obj, ObjectBase):
            raise ValueTypeError(f"expected an object of one of the schema's classes, got {brief(obj)}")
        _check_mode(update)
        return cast("O", adding.add(self, obj, update))

    def add_all(self, objects: Iterable[ObjectBase], *, update: UpdateMode = "never") -> None:
        """Put many objects into the realm; much faster than one by one if they have no links."""
        self._check_write()
        _check_mode(update)
        adding.add_all(self, objects, update)

    def create(self, cls: type[O], value: Mapping[str, Any] | ObjectBase, *, update: UpdateMode = "never") -> O:
        """Create an object from a dict (nested for links, lists, embedded objects), or as a copy of another.

        With `update` other than "never" an existing object with the key gets the given values.
        """
        self._check_write()
        _check_mode(update)
        return cast("O", creating.create(self, self._binding(cls), value, update))

    @overload
    def delete(self, what: ObjectBase) -> None: ...
    @overload
    def delete(self, what: Iterable[ObjectBase]) -> None: ...
    def delete(self, what: Any) -> None:
        """Delete an object, or all objects of results or a list. Links to them become None or vanish."""
        self._check_write()
        deleting.delete(self, what)

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Undo what happens inside if it raises, and only that."""
        transaction = self._transaction
        assert transaction is not None
        recorder = self._recorder
        mark = None if recorder is None else recorder.mark()
        try:
            with transaction.savepoint():
                yield
        except BaseException:
            if recorder is not None and mark is not None:
                recorder.return_to(mark)
            self._moved()
            raise

    def _update_from(self, binding: Binding, row: int, obj: ObjectBase, update: str) -> ObjectBase:
        return creating.update_from_object(self, binding, row, obj, update)

    def _record_value(
        self, binding: Binding, obj: ObjectBase, index: int, raw: SqlValue, *, is_default: bool = False
    ) -> None:
        record_value(self, binding, obj, index, raw, is_default=is_default)


def _check_mode(update: str) -> None:
    if update not in ("never", "modified", "all"):
        raise UsageError(f"update is 'never', 'modified' or 'all', not {update!r}")
