"""The Realm Query Language: text or Python expressions to one SQL statement.

`parse` makes a tree of a text, `compile_query` an SQL statement of a tree, `describe` a text of a tree.
The modules are loaded when first used, since many programs start without asking anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hinterland.query.ast import Query as Query
    from hinterland.query.catalog import Catalog as Catalog
    from hinterland.query.catalog import Codec as Codec
    from hinterland.query.chain import Chain as Chain
    from hinterland.query.compiler import Aliases as Aliases
    from hinterland.query.compiler import compile_query as compile_query
    from hinterland.query.description import describe as describe
    from hinterland.query.expressions import Attribute as Attribute
    from hinterland.query.expressions import Expression as Expression
    from hinterland.query.expressions import GeoBox as GeoBox
    from hinterland.query.expressions import GeoCircle as GeoCircle
    from hinterland.query.expressions import GeoPolygon as GeoPolygon
    from hinterland.query.expressions import attribute as attribute
    from hinterland.query.parser import parse as parse
    from hinterland.query.parser import parse_path as parse_path
    from hinterland.query.statement import Statement as Statement

_MODULES: Final = {
    "Aliases": "compiler",
    "Attribute": "expressions",
    "Catalog": "catalog",
    "Chain": "chain",
    "Codec": "catalog",
    "Expression": "expressions",
    "GeoBox": "expressions",
    "GeoCircle": "expressions",
    "GeoPolygon": "expressions",
    "Query": "ast",
    "Statement": "statement",
    "attribute": "expressions",
    "compile_query": "compiler",
    "describe": "description",
    "parse": "parser",
    "parse_path": "parser",
}

__all__ = [
    "Aliases",
    "Attribute",
    "Catalog",
    "Chain",
    "Codec",
    "Expression",
    "GeoBox",
    "GeoCircle",
    "GeoPolygon",
    "Query",
    "Statement",
    "attribute",
    "compile_query",
    "describe",
    "parse",
    "parse_path",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
