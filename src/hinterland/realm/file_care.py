"""What realms do with their files: compact, copy, export, import.

What does the work is loaded when it is first needed; most programs never do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hinterland.errors import ReadOnlyError, UsageError
from hinterland.store.connection import check_key
from hinterland.store.store import Store

if TYPE_CHECKING:
    from hinterland.realm.configuration import Configuration
    from hinterland.realm.realm import Realm
    from hinterland.store.json_export import TextSink
    from hinterland.store.json_import import TextSource

__all__ = ["FileCare", "compact_on_launch"]

Progress = Callable[[int, int], object]


def compact_on_launch(configuration: Configuration, store: Store) -> None:
    """Compact a file that is being opened, if the program wants to."""
    decide = configuration.compact_on_launch
    if decide is None or store.read_only:
        return
    from hinterland.store.upkeep import compact, used_bytes

    if decide(*used_bytes(store)):
        compact(store)


class FileCare:
    """A part of `Realm`."""

    _store: Store

    def _idle(self, what: str) -> Realm:
        """Return the realm; refuse to go on inside a write transaction."""
        realm = cast("Realm", self)
        realm._check()
        if realm.is_in_write:
            raise UsageError(f"{realm.path}: {what} does not work inside a write transaction; call it before or after")
        return realm

    @property
    def file_size(self) -> int:
        """The size of the realm's file and write-ahead log in bytes."""
        from hinterland.store.upkeep import file_bytes

        cast("Realm", self)._check()
        return file_bytes(self._store.path)

    def compact(self) -> bool:
        """Give space that nothing uses back to the system.

        Returns:
            False if that has to wait, because another instance or process has the file open.
        """
        from hinterland.store.upkeep import compact

        realm = self._idle("compact")
        if self._store.read_only:
            raise ReadOnlyError(f"{realm.path} was opened read-only")
        realm._sweeps.settle()
        before = self._store.version
        done = compact(self._store)
        if self._store.version != before:
            realm._moved()
        return done

    def write_copy(self, path: str | Path, encryption_key: bytes | None = None) -> None:
        """Write what the realm is now into a new, compact file: a local realm of its own.

        Args:
            path: Where to; nothing may be there yet.
            encryption_key: The key of the copy, 32 or 64 bytes; without one the copy is not encrypted,
                even if this realm is.

        Raises:
            StorageError: The file exists, or cannot be written; nothing of it is left.
        """
        from hinterland.store.upkeep import write_copy

        self._idle("write_copy")
        check_key(encryption_key, "write_copy: encryption_key")
        write_copy(self._store, path, encryption_key)

    def export_json(self, stream: TextSink, *, progress: Progress | None = None) -> int:
        """Write all classes and objects as one JSON document; return the number of objects.

        Args:
            stream: A text stream, such as `open(path, "w", encoding="utf-8")`.
            progress: Called now and then with (objects written, objects in all).
        """
        from hinterland.store.json_export import export_json

        self._idle("export_json")
        return export_json(self._store, stream, progress)

    def import_json(self, stream: TextSource, *, progress: Progress | None = None) -> int:
        """Add what `export_json` wrote; return the number of objects.

        Classes and properties that the file lacks are added; objects whose keys exist are overwritten.
        In a local realm everything is one transaction; a synchronised one commits by thousands.

        Args:
            stream: A text stream, such as `open(path, encoding="utf-8")`.
            progress: Called now and then with (objects read, objects in all).

        Raises:
            ValueTypeError: The document is malformed, or a value does not fit its property.
            SchemaError: The file has a property of another type.
            NoSubscriptionError: The realm is query-based and no subscription asks for objects of a class; what was
                committed before the first of them stays.
        """
        from hinterland.store.json_import import import_json

        realm = self._idle("import_json")
        if self._store.read_only:
            raise ReadOnlyError(f"{realm.path} was opened read-only")
        configuration = realm.configuration
        writer = Store.open(
            self._store.path,
            durable=configuration.durable,
            busy_timeout_s=configuration.busy_timeout_s,
            key=self._store.key,
        )
        try:
            book = realm._book
            check = None if book is None else lambda name: book.check_import(writer.schema, name)
            return import_json(writer, stream, configuration.changeset_sink, progress, check)
        finally:
            writer.close()
            realm.refresh()
