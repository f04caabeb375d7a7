"""Results as plain data: a part of `Results`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hinterland.realm.results import Results

__all__ = ["Tabular"]


class Tabular:
    """See the module."""

    __slots__ = ()

    @property
    def _results(self) -> Results[Any]:
        return cast("Results[Any]", self)

    def to_dict(self, *, depth: int = 0) -> list[dict[str, Any]]:
        """Return the objects as dicts; see `Object.to_dict`."""
        from hinterland.realm.plain import to_dict

        return [to_dict(obj, depth) for obj in self._results]

    def to_json(self, *, depth: int = 0, indent: int | None = None) -> str:
        """Return the objects as a JSON array; see `Object.to_json`."""
        from hinterland.realm.plain import json_of_all

        return json_of_all(self._results, depth, indent)

    def to_pandas(self) -> pd.DataFrame:
        """Return the objects as a data frame: a column per attribute, links as the keys of their targets.

        Raises:
            UsageError: pandas is not installed (`pip install 'hinterland[pandas]'`).
        """
        from hinterland.realm.frames import to_pandas

        return to_pandas(self._results)

    def to_arrow(self) -> pa.Table:
        """Return the objects as an Arrow table: a column per attribute, links as the keys of their targets.

        Raises:
            UsageError: pyarrow is not installed (`pip install 'hinterland[arrow]'`).
        """
        from hinterland.realm.frames import to_arrow

        return to_arrow(self._results)
