"""A server's file and one client's connection to it, without sockets."""

from __future__ import annotations

import json
from pathlib import Path

from hinterland.protocol.messages import Bind, FlexibleBind, FlexibleIdent, Ident
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import CloseSession, OpenRealm, Request
from hinterland.server.realm_file import RealmFile, deliver
from hinterland.store.server_history import ServerHistory
from hinterland.store.store import Store


class Peer:
    """A realm file, and a connection whose requests are carried out when the test says so."""

    def __init__(self, path: Path, *, is_flexible: bool = False) -> None:
        store = Store.open(path, durable=False)
        self.file = RealmFile(store, version_salt=5, make_salt=lambda: 9, clock=lambda: 1.0)
        self.history = ServerHistory(store.connection)
        self.connection = ServerConnection(is_flexible=is_flexible, path="/a" if is_flexible else "")
        bind = FlexibleBind(1, need_ident=True) if is_flexible else Bind(1, "/a", need_ident=True)
        self.connection.receive_message(bind)
        self.carry_out()
        self.connection.receive_message(FlexibleIdent(1, 2, 9) if is_flexible else Ident(1, 2, 9))
        self.carry_out()

    def requests(self) -> list[Request]:
        """What the machine asks for; realms open at once."""
        found = []
        while self.connection.has_requests:
            for request in self.connection.take_requests():
                if isinstance(request, OpenRealm):
                    request.session.realm_opened()
                else:
                    found.append(request)
        return found

    def carry_out(self) -> None:
        """Carry out everything that is asked for, and what that leads to."""
        while requests := self.requests():
            jobs = [one for one in requests if not isinstance(one, CloseSession)]
            before = self.file.version
            for job, answer in zip(jobs, self.file.process(jobs), strict=True):  # type: ignore[arg-type]
                deliver(job, answer)  # type: ignore[arg-type]
            for job in jobs:
                if self.file.version > before:
                    job.session.history_grew(self.file.version, self.file.version_salt)
                job.session.produce()

    def heads(self) -> list[str]:
        """First lines of what the server has said since the last look; errors as `error CODE SESSION ACTION`."""
        found = []
        for data in self.connection.take_output():
            head, _, body = data.partition(b"\n")
            words = head.decode().split()
            if words[0] == "json_error":
                words = ["error", words[1], words[3], json.loads(body)["action"]]
            found.append(" ".join(words))
        return found
