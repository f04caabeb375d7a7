"""Regions of the earth: boxes, circles and polygons whose edges are arcs of great circles.

Source: spec rql.md §13. Points are (longitude, latitude) in degrees, radii are in radians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

__all__ = ["RegionError", "check_region", "is_within"]

Point: TypeAlias = tuple[float, float]
Vector: TypeAlias = tuple[float, float, float]
Loops: TypeAlias = tuple[tuple[Point, ...], ...]

_TINY = 1e-14


class RegionError(Exception):
    """A region is malformed."""


@lru_cache(maxsize=4096)
def _vector(point: Point) -> Vector:
    longitude, latitude = math.radians(point[0]), math.radians(point[1])
    across = math.cos(latitude)
    return across * math.cos(longitude), across * math.sin(longitude), math.sin(latitude)


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _angle(a: Vector, b: Vector) -> float:
    cross = _cross(a, b)
    return math.atan2(math.sqrt(_dot(cross, cross)), _dot(a, b))


def _is_in_loop(place: Vector, corners: Sequence[Vector]) -> bool:
    """Return whether the loop winds around the place; corners themselves lie outside."""
    middle = (sum(one[0] for one in corners), sum(one[1] for one in corners), sum(one[2] for one in corners))
    if _dot(place, middle) <= 0:
        return False
    total = 0.0
    last = corners[-1]
    for corner in corners:
        if _angle(place, corner) < _TINY:
            return False
        # The dihedral angle at `place` between the planes through both ends of the edge.
        one, two = _cross(place, last), _cross(place, corner)
        total += math.atan2(_dot(place, _cross(one, two)), _dot(one, two))
        last = corner
    return abs(total) > math.pi


def is_within(shape: str, loops: Loops, radius: float, point: Point) -> bool:
    """Return whether a point lies in a region that `check_region` accepted."""
    place = _vector(point)
    if shape == "geoCircle":
        return _angle(place, _vector(loops[0][0])) <= radius + 1e-15
    if shape == "geoBox":
        (west, south), (east, north) = loops[0][0], loops[1][0]
        west, east = min(west, east), max(west, east)
        south, north = min(south, north), max(south, north)
        loops = (((west, south), (east, south), (east, north), (west, north)),)
    outer, *holes = [[_vector(one) for one in (loop[:-1] if loop[0] == loop[-1] else loop)] for loop in loops]
    return _is_in_loop(place, outer) and not any(_is_in_loop(place, hole) for hole in holes)


def check_region(shape: str, loops: Loops, radius: float) -> None:
    """Raise `RegionError` for coordinates, loops or radii that make no region."""
    for loop in loops:
        for longitude, latitude in loop:
            if not (abs(longitude) <= 180 and abs(latitude) <= 90):
                raise RegionError(
                    f"[{longitude}, {latitude}] is no point: longitude lies in -180…180, latitude in -90…90"
                )
    if shape == "geoCircle":
        if not radius >= 0:
            raise RegionError(f"{radius} is no radius; it is an angle in radians and not negative")
        return
    if shape != "geoPolygon":
        return
    for loop in loops:
        _check_loop(loop)
    outer, *holes = loops
    for number, hole in enumerate(holes):
        if _loops_cross(outer, hole) or not _holds(outer, hole):
            raise RegionError("a hole must lie inside the outer loop of its polygon")
        for other in holes[number + 1 :]:
            if _loops_cross(hole, other) or _holds(hole, other) or _holds(other, hole):
                raise RegionError("the holes of a polygon must not touch each other")


def _check_loop(loop: tuple[Point, ...]) -> None:
    if loop[0] != loop[-1] or len(loop) < 2:
        raise RegionError("a loop of a polygon must end with the point it starts with")
    corners = loop[:-1]
    if len(set(corners)) < 3:
        raise RegionError("a loop of a polygon needs at least three different points")
    if len(set(corners)) != len(corners):
        raise RegionError("a loop of a polygon must not visit a point twice")
    size = len(corners)
    for one in range(size):
        for two in range(one + 2, size):
            if (two + 1) % size != one and _edges_cross(loop[one], loop[one + 1], loop[two], loop[two + 1]):
                raise RegionError("the edges of a loop of a polygon must not cross")


def _edges_cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    va, vb, vc, vd = _vector(a), _vector(b), _vector(c), _vector(d)
    first, second = _cross(va, vb), _cross(vc, vd)
    one, two = _dot(first, vc), _dot(first, vd)
    three, four = _dot(second, va), _dot(second, vb)
    return one * two < 0 and three * four < 0 and one * three < 0


def _loops_cross(one: tuple[Point, ...], two: tuple[Point, ...]) -> bool:
    return any(
        _edges_cross(one[i], one[i + 1], two[j], two[j + 1]) for i in range(len(one) - 1) for j in range(len(two) - 1)
    )


def _holds(outer: tuple[Point, ...], inner: tuple[Point, ...]) -> bool:
    corners = [_vector(one) for one in outer[:-1]]
    return any(_is_in_loop(_vector(one), corners) for one in inner[:-1])
