"""A field worker's process, as on a device of its own: `python -m hinterland.demo.worker SETTINGS`.

Opens the catalogue for reading and the inspections for writing, and does as the demo commands.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import hinterland as hl
from hinterland.demo.channel import Channel, serve
from hinterland.demo.conflicts import CONFLICTS
from hinterland.demo.edits import DayOfWork
from hinterland.demo.model import CATALOGUE, INSPECTIONS, WORK, Airport, Site
from hinterland.demo.replica import read_replica

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__: list[str] = []

TIMEOUT_S: Final = 50

log = logging.getLogger("hinterland.demo")


class FieldWorker:
    """Carries out the demo's commands."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._settings = settings
        self._name: str = settings["name"]
        self._turn: int = settings["turn"]
        self._synced: list[Realm] = []
        self._catalogue: Realm | None = None

    def download(self) -> None:
        """Log in and get both realms; the catalogue is then opened read-only."""
        credentials = hl.Credentials.username_password(self._name, self._settings["password"], register=True)
        user = hl.SyncUser.log_in(self._settings["url"], credentials)
        catalogue = user.configuration(CATALOGUE, schema=[Airport])
        work = user.configuration(INSPECTIONS, schema=WORK)
        for path, config in ((CATALOGUE, catalogue), (INSPECTIONS, work)):
            progress = self._channel.progress("download", path)
            self._synced.append(hl.Realm.open(config, download=True, progress=progress, timeout=TIMEOUT_S))
        self._catalogue = hl.Realm.open(hl.Configuration(path=catalogue.path, schema=[Airport], read_only=True))
        try:
            with self._catalogue.write():
                raise AssertionError("the catalogue can be written")
        except hl.ReadOnlyError as error:
            log.info("%s", error)
            self._channel.send("refused")
        for realm in self._synced:
            realm.session.add_progress_handler("upload", self._channel.progress("upload", realm.session.path))
            realm.session.add_progress_handler("download", self._channel.progress("download", realm.session.path))

    @property
    def _work(self) -> Realm:
        return self._synced[1]

    def offline(self) -> None:
        """Lose the network."""
        for realm in self._synced:
            realm.session.pause()

    def conflict(self, number: int) -> None:
        """Do this worker's part of a conflict."""
        self._work.refresh()
        with self._work.write():
            did = CONFLICTS[number].act(self._work, self._turn, self._name)
        self._channel.send("did", number=number, text=did)

    def edit(self, transactions: int) -> None:
        """Do a day's work, at airports of the worker's country and at some that others visit too."""
        assert self._catalogue is not None
        country: str = self._settings["country"]
        airports = list(self._catalogue.objects(Airport).filter(country=country))[:40]
        known = [self._catalogue.object(Airport, site.icao) for site in self._work.objects(Site)]
        airports += [airport for airport in known if airport is not None]
        day = DayOfWork(self._work, airports, self._name, self._settings["seed"] + self._turn)
        day.work(transactions)
        self._channel.send("edited", done=dict(day.done), airports=len(airports), country=country)

    def online(self) -> None:
        """Have the network back, and everything of this worker at the server."""
        for realm in self._synced:
            realm.session.resume()
        for realm in self._synced:
            realm.session.wait_for_upload(TIMEOUT_S)

    def settle(self) -> None:
        """Get everything of the others."""
        for realm in self._synced:
            realm.session.wait_for_download(TIMEOUT_S)
            realm.refresh()

    def state(self, *, catalogue: bool) -> None:
        """Report this device's copies."""
        paths = (CATALOGUE, INSPECTIONS) if catalogue else (INSPECTIONS,)
        for realm in self._synced:
            if realm.session.path in paths:
                replica = read_replica(realm.configuration.path)
                self._channel.send("replica", realm=realm.session.path, counts=replica.counts, digest=replica.digest)

    def outcomes(self) -> None:
        """Report how each conflict ended."""
        self._work.refresh()
        self._channel.send("outcomes", values=[conflict.read(self._work) for conflict in CONFLICTS])

    def close(self) -> None:
        """Close all realms."""
        for realm in self._synced:
            realm.close()
        if self._catalogue is not None:
            self._catalogue.close()


def main() -> None:
    """Work until there are no more commands."""
    logging.basicConfig(level=logging.INFO)
    channel = Channel()
    settings = json.loads(sys.argv[1])
    worker = FieldWorker(channel, settings)
    names = ("download", "offline", "conflict", "edit", "online", "settle", "state", "outcomes", "close")
    serve(channel, {name: getattr(worker, name) for name in names})


if __name__ == "__main__":
    main()
