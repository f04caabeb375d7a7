"""What the synchronisation tests share: a real server, users, realms, and waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hinterland.protocol.client_backoff import BackoffLimits
from hinterland.realm.configuration import Configuration
from hinterland.realm.objects import Object
from hinterland.realm.realm import Realm
from hinterland.schema.declaration import field as stored
from hinterland.server.config import Config
from hinterland.server.server import ObjectServer
from hinterland.store.export import describe_state
from hinterland.sync import ConnectionTimes, Credentials, SyncUser, sync_directory
from hinterland.sync.session import SessionRegistry

TIMEOUT_S = 20.0
QUICK = ConnectionTimes(connect_timeout_s=5, linger_s=0.2, backoff=BackoffLimits(20, 2, 100))


class Task(Object):
    """What all these tests write about."""

    name: str = stored(primary_key=True)
    title: str = ""
    count: int = 0


@dataclass
class World:
    """A server that can be restarted on the same data and port, and users on this machine."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    server: ObjectServer = field(init=False)
    port: int = 0
    realms: list[Realm] = field(default_factory=list)

    def start(self, **options: Any) -> None:
        """Start the server; the same port each time."""
        self.options |= options
        config = Config(data=self.folder / "server", port=self.port, durable=False, development=True, **self.options)
        self.server = ObjectServer(config).start()
        self.port = self.server.port

    def restart(self, **options: Any) -> None:
        """Stop the server and start another on the same data."""
        self.server.stop()
        self.start(**options)

    @property
    def url(self) -> str:
        return self.server.url

    def user(self, name: str) -> SyncUser:
        """Log somebody in, who is registered at first."""
        return SyncUser.log_in(self.url, Credentials.username_password(name, "secret", register=True))

    def user_again(self, name: str) -> SyncUser:
        """Log in somebody who is registered."""
        return SyncUser.log_in(self.url, Credentials.username_password(name, "secret"))

    def configuration(self, user: SyncUser, path: str = "/shared/board", **options: Any) -> Configuration:
        options.setdefault("times", QUICK)
        return user.configuration(path, options.pop("schema", [Task]), **options)

    def open(self, user: SyncUser, path: str = "/shared/board", *, download: bool = False, **options: Any) -> Realm:
        """Open a realm that is closed at the end of the test."""
        realm = Realm.open(self.configuration(user, path, **options), download=download, timeout=TIMEOUT_S)
        self.realms.append(realm)
        return realm

    def close(self) -> None:
        for realm in self.realms:
            realm.close()
        SessionRegistry.stop_all()
        self.server.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    sync_directory(tmp_path / "home")
    made = World(tmp_path)
    made.start()
    yield made
    made.close()


def write(realm: Realm, name: str, **values: Any) -> None:
    """Create or change a task."""
    with realm.write():
        realm.create(Task, {"name": name, **values}, update="modified")


def exchange(*realms: Realm) -> None:
    """Upload everything of everybody, then download it."""
    for realm in realms:
        realm.session.wait_for_upload(TIMEOUT_S)
    for realm in realms:
        realm.session.wait_for_download(TIMEOUT_S)
        realm.refresh()


def state(realm: Realm) -> str:
    """The realm's whole content as text."""
    realm.refresh()
    return describe_state(realm._store)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {TIMEOUT_S} s"
        time.sleep(0.005)
