"""Reading objects one by one: a statement each, and all at once when it turns out that many are wanted.

A statement for one object costs as much as six to eight objects of a scan. So once an eighth of a class
was read singly (by key, or by following links) while nothing changed, the whole class is read and
found in dicts from then on; that at most doubles what the reads cost, and makes them several times
quicker for programs that go on. What was read is dropped as soon as a row may differ in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.store.layout import storage_error

if TYPE_CHECKING:
    from hinterland.realm.binding import Binding
    from hinterland.store.sqlform import SqlValue

__all__ = ["ReadAhead"]

_READS_MIN: Final = 256
_SHARE: Final = 8
_FILE_BYTES_MAX: Final = 1 << 26
"""Classes of larger files are never read whole: this bounds the memory that they would take."""
_NEVER: Final = 1 << 62


class ReadAhead:
    """The images of one class of one realm, as they are in the file.

    Attributes:
        structure: That of the binding when the images were read.
        updates: The table's write buffer then; flushing replaces it.
        by_key: The images by key in SQL form; empty until all are read.
        by_row: The same by row.
    """

    __slots__ = ("_binding", "_reads", "_reads_wanted", "by_key", "by_row", "structure", "updates")

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.structure: object = None
        self.updates: object = None
        self.by_key: dict[SqlValue, Sequence[Any]] = {}
        self.by_row: dict[int, Sequence[Any]] = {}
        self._reads = 0
        self._reads_wanted = _READS_MIN

    def row(self, row: int) -> Sequence[Any] | None:
        """Return the image of a row as it is in the file; None if there is none."""
        binding = self._binding
        if self.structure is binding.structure and self.updates is binding.table.updates:
            image = self.by_row.get(row)
            if image is not None:
                return image
        return self._read(binding.select_one, row)

    def key(self, raw: SqlValue) -> Sequence[Any] | None:
        """Return the image of the row with a key as it is in the file; None if there is none."""
        binding = self._binding
        if self.structure is binding.structure and self.updates is binding.table.updates:
            image = self.by_key.get(raw)
            if image is not None:
                return image
        return self._read(binding.select_by_key, raw)

    def _read(self, sql: str, value: SqlValue) -> Sequence[Any] | None:
        binding = self._binding
        if self.structure is not binding.structure or self.updates is not binding.table.updates:
            self.clear()
            self.structure = binding.structure
            self.updates = binding.table.updates
        self._reads += 1
        try:
            if self._reads >= self._reads_wanted:
                self._read_all()
            image: Sequence[Any] | None = binding.execute(sql, (value,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise storage_error(error, binding.realm.path) from error
        return image

    def _read_all(self) -> None:
        """Read the whole class, unless it has far more objects than were asked for, or the file is too large."""
        binding = self._binding
        execute = binding.execute
        rows = execute(f"SELECT max(_row) FROM {binding.quoted}").fetchone()[0] or 0
        self._reads_wanted = max(_READS_MIN, rows // _SHARE)
        if self._reads < self._reads_wanted:
            return
        self._reads_wanted = _NEVER
        pages = execute("PRAGMA page_count").fetchone()[0]
        if pages * execute("PRAGMA page_size").fetchone()[0] > _FILE_BYTES_MAX:
            return
        images = execute(binding.select).fetchall()
        self.by_row = {image[-1]: image for image in images}
        if binding.key_type is not None:
            self.by_key = {image[0]: image for image in images}
