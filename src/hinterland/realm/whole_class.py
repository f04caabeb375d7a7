"""Reading objects one by one: a statement each, and all at once when it turns out that many are wanted.

A statement for one object costs as much as six to eight objects of a scan. So once a sixteenth of a
class was read singly (by key, or by following links) while nothing changed, the whole class is read and
found in dicts from then on; that costs a program that stops there no more than three times what it did
anyway, and makes it several times quicker if it goes on. What was read is dropped as soon as a row may
differ in the file.

The realm's thread uses it, and in frozen realms any thread: whatever they do at once, each finds what it
wants, in the dicts or by a statement.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hinterland.store.connection import SQLITE_ERRORS, storage_error

if TYPE_CHECKING:
    from hinterland.realm.binding import Binding
    from hinterland.store.sqlform import SqlValue

__all__ = ["WholeClass"]

_READS_MIN: Final = 256
_SHARE: Final = 16
_FILE_BYTES_MAX: Final = 1 << 26
"""Classes of larger files are never read whole: this bounds the memory that they would take."""
_NEVER: Final = 1 << 62


class WholeClass:
    """The images of one class of one realm, as they are in the file.

    Attributes:
        structure: That of the binding when the images were read.
        updates: The table's write buffer then; flushing replaces it.
        by_key: The images by key in SQL form; empty until all are read.
        by_row: The same by row.
    """

    __slots__ = ("_binding", "_is_whole", "_reads", "_reads_wanted", "by_key", "by_row", "structure", "updates")

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.structure: object = None
        self.updates: object = None
        self.by_key: dict[SqlValue, Sequence[Any]] = {}
        self.by_row: dict[int, Sequence[Any]] = {}
        self._is_whole = False
        self._reads = 0
        self._reads_wanted = _READS_MIN

    def row(self, row: int) -> Sequence[Any] | None:
        """Return the image of a row as it is in the file; None if there is none."""
        if not self._is_current():
            self._start()
        elif self._is_whole:
            if not self.by_row:
                self.by_row = {image[-1]: image for image in self.by_key.values()}
            found = self.by_row.get(row)
            if found is not None:
                return found
        return self._read(self._binding.select_one, row)

    def key(self, raw: SqlValue) -> Sequence[Any] | None:
        """Return the image of the row with a key as it is in the file; None if there is none."""
        if not self._is_current():
            self._start()
        elif self._is_whole:
            if not self.by_key:
                self.by_key = {image[0]: image for image in self.by_row.values()}
            found = self.by_key.get(raw)
            if found is not None:
                return found
        return self._read(self._binding.select_by_key, raw)

    def _is_current(self) -> bool:
        binding = self._binding
        return self.structure is binding.structure and self.updates is binding.table.updates

    def _start(self) -> None:
        self.clear()
        self.structure = self._binding.structure
        self.updates = self._binding.table.updates

    def _read(self, sql: str, value: SqlValue) -> Sequence[Any] | None:
        """Read one image; before that all of them, if it is time."""
        self._reads += 1
        binding = self._binding
        try:
            if self._reads >= self._reads_wanted:
                self._consider(by_key=sql is binding.select_by_key)
            image: Sequence[Any] | None = binding.direct(sql, (value,)).fetchone()
        except SQLITE_ERRORS as error:
            raise storage_error(error, binding.realm.path) from error
        return image

    def _consider(self, *, by_key: bool) -> None:
        """Read the whole class, unless it has far more objects than were asked for, or the file is too large."""
        binding = self._binding
        execute = binding.direct
        rows = execute(f"SELECT max(_row) FROM {binding.quoted}").fetchone()[0] or 0
        if self._reads < rows // _SHARE:
            self._reads_wanted = rows // _SHARE
            return
        self._reads_wanted = _NEVER
        pages = execute("PRAGMA page_count").fetchone()[0]
        if pages * execute("PRAGMA page_size").fetchone()[0] > _FILE_BYTES_MAX:
            return
        place = 0 if by_key else -1
        with _garbage_kept():
            images = {image[place]: image for image in execute(binding.select).fetchall()}
        self._is_whole = True
        if by_key:
            self.by_key = images
        else:
            self.by_row = images


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Let the garbage collector rest: looking through all objects over and over takes as long as reading them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
