"""Scripted servers on a real WebSocket: they say what a test wants."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sync_world import QUICK, Task
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from hinterland.errors import HinterlandError
from hinterland.protocol.messages import (
    Bind,
    FlexibleBind,
    IdentGrant,
    Unbind,
    Unbound,
    describe,
    encode,
    parse_from_client,
)
from hinterland.realm.realm import Realm
from hinterland.sync import ConnectionTimes, Credentials, SyncUser, sync_directory
from hinterland.sync.session import SessionRegistry

SUBPROTOCOLS = {False: "com.mongodb.realm-sync#14", True: "com.mongodb.realm-query-sync#14"}


class Script:
    """A server that says what a test wants; `heard` is what the client said."""

    def __init__(self, *, is_flexible: bool = False) -> None:
        self.is_flexible = is_flexible
        self.heard: list[str] = []
        self._idents = itertools.count(2)
        self.connections = 0
        self.refused = 0
        self.answer: Callable[[ServerConnection, object], None] = lambda _socket, _message: None
        self.status = 0
        self.answers_unbind = True
        self._server: Server = serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[SUBPROTOCOLS[is_flexible]],  # type: ignore[list-item]
            compression=None,
            process_request=self._refuse,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _refuse(self, socket: ServerConnection, _: Request) -> Response | None:
        if not self.status:
            return None
        self.refused += 1
        return socket.respond(self.status, "")

    def _serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        try:
            for data in socket:
                assert isinstance(data, bytes)
                message = parse_from_client(data, is_flexible=self.is_flexible)
                self.heard.append(describe(message))
                match message:
                    case Bind(need_ident=True) | FlexibleBind(need_ident=True):
                        socket.send(encode(IdentGrant(message.session, next(self._idents), 77)))
                    case Unbind() if self.answers_unbind:
                        socket.send(encode(Unbound(message.session)))
                    case _:
                        self.answer(socket, message)
        except ConnectionClosed:
            return

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    SessionRegistry.stop_all()
    made.close()


class App:
    """An application with one open realm, and the errors it was told."""

    def __init__(self, folder: Path, script: Script, times: ConnectionTimes = QUICK, **options: Any) -> None:
        sync_directory(folder / "home")
        self.errors: list[HinterlandError] = []
        user = SyncUser.log_in(script.url, Credentials.admin_token("token"))
        self.realm = Realm.open(
            user.configuration(
                "/board", [Task], times=times, error_handler=lambda _, error: self.errors.append(error), **options
            )
        )
