"""The back office's process: fills the catalogue and plans the first inspections, as an administrator.

python -m hinterland.demo.backend SETTINGS
"""

from __future__ import annotations

import json
import logging
import random
import sys
from typing import Final

import hinterland as hl
from hinterland.demo.channel import Channel, serve
from hinterland.demo.conflicts import PLANNED
from hinterland.demo.model import CATALOGUE, INSPECTIONS, WORK, Airport, Inspection, Site, read_airports

__all__: list[str] = []

BATCH: Final = 2000
TIMEOUT_S: Final = 50


class BackOffice:
    """Carries out the demo's commands."""

    def __init__(self, channel: Channel, user: hl.SyncUser, seed: int) -> None:
        self._channel = channel
        self._user = user
        self._random = random.Random(seed)  # noqa: S311 - a repeatable show, no secrets

    def load(self) -> None:
        """Write the catalogue, a batch at a time, and upload it."""
        airports = list(read_airports())
        with hl.Realm.open(self._user.configuration(CATALOGUE, schema=[Airport])) as realm:
            realm.session.add_progress_handler("upload", self._channel.progress("upload", CATALOGUE))
            for start in range(0, len(airports), BATCH):
                with realm.write():
                    realm.add_all(airports[start : start + BATCH])
            self._channel.send("written", count=len(airports))
            realm.session.wait_for_upload(TIMEOUT_S)
            busy = [one for one in realm.objects(Airport) if one.iata and one.elevation_ft > 0]
            self._plan(self._random.sample(busy, PLANNED))

    def _plan(self, airports: list[Airport]) -> None:
        """Write the inspections that everybody knows from the start."""
        with hl.Realm.open(self._user.configuration(INSPECTIONS, schema=WORK)) as realm:
            with realm.write():
                for number, airport in enumerate(airports):
                    site = realm.add(Site(icao=airport.icao, name=airport.name))
                    plan = {"code": f"PLAN-{number:02}", "site": site, "notes": ["bring a ladder"]}
                    realm.create(Inspection, plan)
            realm.session.wait_for_upload(TIMEOUT_S)
        self._channel.send("planned", count=len(airports))


def main() -> None:
    """Work until there are no more commands."""
    logging.basicConfig(level=logging.INFO)
    channel = Channel()
    settings = json.loads(sys.argv[1])
    user = hl.SyncUser.log_in(settings["url"], hl.Credentials.admin_token(settings["admin_token"]))
    serve(channel, {"load": BackOffice(channel, user, settings["seed"]).load})


if __name__ == "__main__":
    main()
