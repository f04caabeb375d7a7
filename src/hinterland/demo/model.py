"""The classes of the demo: a catalogue of airports, and inspections of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import hinterland as hl

__all__ = ["CATALOGUE", "INSPECTIONS", "WORK", "Airport", "Inspection", "Site", "read_airports"]

CATALOGUE: Final = "/shared/airports"
INSPECTIONS: Final = "/shared/inspections"


class Airport(hl.Object):
    """An airport of the catalogue, which field workers only read."""

    icao: str = hl.field(primary_key=True)
    iata: str = ""
    name: str = ""
    city: str = ""
    subdivision: str = ""
    country: str = hl.field(default="", index=True)
    elevation_ft: float = 0.0
    latitude: float = 0.0
    longitude: float = 0.0
    time_zone: str = ""


class Site(hl.Object):
    """An airport that was visited; whoever comes first adds it."""

    icao: str = hl.field(primary_key=True)
    name: str = ""
    remark: str = ""
    visits: int = 0
    inspections = hl.backlinks("Inspection", "site")


class Inspection(hl.Object):
    """What somebody looked at, at a site."""

    code: str = hl.field(primary_key=True)
    site: Site | None = None
    status: str = hl.field(default="planned", index=True)
    defects: int = 0
    notes: hl.List[str]
    tags: hl.Set[str]
    readings: hl.Dict[float]


WORK: Final[list[type[hl.Object]]] = [Site, Inspection]


def read_airports() -> Iterator[Airport]:
    """Yield the world's airports."""
    import airportsdata

    for row in airportsdata.load("ICAO").values():
        yield Airport(
            icao=row["icao"],
            iata=row["iata"],
            name=row["name"],
            city=row["city"],
            subdivision=row["subd"],
            country=row["country"],
            elevation_ft=float(row["elevation"]),
            latitude=float(row["lat"]),
            longitude=float(row["lon"]),
            time_zone=row["tz"],
        )
