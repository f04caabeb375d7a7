"""Byte strings that may be too many for memory: kept there while they are few, in a nameless file otherwise."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Final, overload

__all__ = ["Spool"]

MEMORY_BYTES_MAX: Final = 256 * 1024


class Spool(Sequence[bytes]):
    """See the module. The file goes when the spool is no longer used, or the process ends.

    Args:
        folder: Where the file is made, if one is needed.
    """

    __slots__ = ("_ends", "_file")

    def __init__(self, folder: Path) -> None:
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX, dir=str(folder))  # noqa: SIM115
        self._ends = array("Q", [0])

    @property
    def size(self) -> int:
        """How many bytes there are in all."""
        return self._ends[-1]

    def append(self, data: bytes) -> None:
        """Add a byte string behind the others."""
        self._file.seek(self.size)
        self._file.write(data)
        self._ends.append(self.size + len(data))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        begin = self._ends[number]
        self._file.seek(begin)
        return self._file.read(self._ends[number + 1] - begin)

    def __iter__(self) -> Iterator[bytes]:
        for begin, end in pairwise(self._ends):
            self._file.seek(begin)  # others may read at the same time
            yield self._file.read(end - begin)
