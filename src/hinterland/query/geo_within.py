"""`path geoWithin region` in SQL.

Source: spec rql.md §13.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hinterland.errors import QueryArgumentError, QuerySyntaxError
from hinterland.query.ast import Argument, GeoWithin, Region
from hinterland.query.geography import RegionError, check_region
from hinterland.query.operands import Many, One, Value, quote
from hinterland.query.parser import parse_region
from hinterland.query.paths import walk
from hinterland.query.quantifiers import Element, quantified
from hinterland.schema.types import ClassSchema
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Scope

__all__ = ["geo_within"]


def geo_within(scope: Scope, node: GeoWithin) -> str:
    """Return the condition that the point of an embedded object lies in a region."""
    operand = walk(node.path, scope)
    schema = _point_class(scope, operand, node)
    region = scope.compiler.bind(json.dumps(_region(scope, node.region)))
    compiler, catalog = scope.compiler, scope.compiler.catalog
    column = quote(catalog.column(schema.name, "type"))
    side = quote(catalog.side(schema.name, "coordinates"))

    def inside(value: Element) -> str:
        assert isinstance(value, Value)
        alias = compiler.alias()
        place = f"SELECT c.value FROM {side} AS c WHERE c.owner = {alias}._row ORDER BY c.pos LIMIT 1 OFFSET"
        return (
            f"EXISTS(SELECT 1 FROM {quote(catalog.table(schema.name))} AS {alias} WHERE {alias}._row = {value.raw}"
            f" AND lower({alias}.{column}) = 'point' AND rq_geo({region}, ({place} 0), ({place} 1)))"
        )

    condition = quantified(operand, inside)
    if isinstance(operand, Many) and operand.quantifier == "ALL":
        return f"({condition} AND {operand.source.exists()})"
    return condition


def _point_class(scope: Scope, operand: One | Many, node: GeoWithin) -> ClassSchema:
    """Return the class of the points, which has `type` and `coordinates`."""
    value = operand.value
    if value.type is PropertyType.LINK and value.target is not None:
        schema = scope.compiler.catalog.schema[value.target]
        kind, place = schema.properties.get("type"), schema.properties.get("coordinates")
        if (
            schema.kind is ClassKind.EMBEDDED
            and kind is not None
            and (kind.type, kind.collection) == (PropertyType.STRING, CollectionType.SINGLE)
            and place is not None
            and (place.type, place.collection) == (PropertyType.DOUBLE, CollectionType.LIST)
        ):
            return schema
    raise scope.error(
        "geoWithin needs an embedded object with a string `type` and a list of doubles `coordinates`", node.at
    )


def _region(scope: Scope, region: Region | Argument) -> list[Any]:
    """Return shape, loops and radius after checking them."""
    at = region.at
    if isinstance(region, Argument):
        value = scope.compiler.arguments.get(region.number, region.at)
        if isinstance(value, str):
            try:
                value = parse_region(value)
            except QuerySyntaxError as error:
                raise scope.error(f"argument ${region.number} is no region: {error}", at) from None
        if not isinstance(value, Region):
            raise scope.error(f"argument ${region.number} is no region", at)
        region = value

    def number(value: float | Argument) -> float:
        if not isinstance(value, Argument):
            return value
        given = scope.compiler.arguments.get(value.number, value.at)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise scope.error(f"argument ${value.number} must be a number", value.at, QueryArgumentError)
        return float(given)

    loops = tuple(tuple((number(one), number(two)) for one, two in loop) for loop in region.loops)
    radius = number(region.radius)
    try:
        check_region(region.shape, loops, radius)
    except RegionError as error:
        raise scope.error(str(error), at) from None
    return [region.shape, loops, radius]
