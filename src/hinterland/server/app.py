"""The ASGI application: WebSockets go to the sync endpoint, everything else to Starlette.

The dispatcher is plain ASGI, because every layer around an idle connection costs memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hinterland._version import __version__
from hinterland.errors import AuthenticationError, StorageError
from hinterland.protocol.codec import PROTOCOL_VERSION_MAX, Subprotocol, negotiate
from hinterland.protocol.server_connection import ServerConnection
from hinterland.server.api.api import Api
from hinterland.server.config import Config
from hinterland.server.connection import ClientConnection, Event, Receive, Send
from hinterland.server.first_admin import make_first_admin
from hinterland.server.gate import Gate
from hinterland.server.logins import Logins
from hinterland.server.office import Office
from hinterland.server.permissions import PathPermissions
from hinterland.server.problems import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, ApiError, Problem, problem_response
from hinterland.server.realms import Realms
from hinterland.server.tls import insists_on_tls, with_hsts
from hinterland.server.tokens import Principal

__all__ = ["App"]

_log = logging.getLogger("hinterland.server")

REAP_INTERVAL_S: Final = 60.0
CLOSE_GRACE_S: Final = 2.0


class App:
    """The server as an ASGI application.

    `lifespan` events start and stop it; where the host sends none, it starts with the first request
    and `stop` must be called.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.office = Office(config)
        self.tokens = self.office.tokens
        self.directory = self.office.directory
        self.logins = Logins(config, self.directory, self.office.issuer)
        self._realms = Realms(config, self.office.data, self.directory)
        self._gate = Gate(
            self.office,
            self._realms,
            leeway_s=config.token_leeway_s,
            opens_schemas=config.development or config.open_schemas,
        )
        self._insists_on_tls = insists_on_tls(config)
        make_first_admin(config, self.directory, self.logins.passwords)
        self._connections: set[ClientConnection] = set()
        self._is_stopping = False
        self._all_gone: asyncio.Event | None = None
        self._reaper: asyncio.Task[None] | None = None
        self.api = Api(
            config,
            self.office,
            self.logins,
            PathPermissions(self.directory),
            self.office.data.realm_file,
            self._realms.delete,
            self._realms.connected_files,
        )
        self._http = Starlette(
            routes=[
                Route("/health", self._health, methods=["GET"]),
                Route("/healthz", self._health, methods=["GET"]),
                *self.api.routes(),
            ],
            exception_handlers={HTTPException: _http_error, Exception: _internal_error},
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "websocket":
            await self._http(scope, receive, with_hsts(send) if self._insists_on_tls else send)
            return
        connection = await self._accept(scope, receive, send)
        if connection is not None:
            self._connections.add(connection)
            self._gate.enter(connection)
            try:
                await connection.run(receive)
            finally:
                self._gate.leave(connection)
                self._connections.discard(connection)
                if self._all_gone is not None and not self._connections:
                    self._all_gone.set()

    # -- handshake -------------------------------------------------------------------------------

    async def _accept(self, scope: Event, receive: Receive, send: Send) -> ClientConnection | None:
        """Check route, token and subprotocol before the upgrade (wire.md §1.1 to §1.5, §12.1)."""
        event = await receive()
        if event["type"] != "websocket.connect":
            return None
        if not _is_sync_route(_route_of(scope)):
            await _deny(scope, send, 404, "NotFound", "there is no WebSocket here; use /realm-sync")
            return None
        try:
            self._gate.open()
            principal = self.office.issuer.check_access(_token_of(scope))
        except AuthenticationError as error:
            # Suspended or expired: clients ask for another token, which tells them more (wire.md §1.5).
            await _deny(scope, send, 401, "InvalidSession", str(error))
            return None
        except StorageError as error:
            _log.error("nobody can be let in: %s", error)
            await _deny(scope, send, 503, "InternalServerError", "the server cannot look up users now")
            return None
        offered = scope.get("subprotocols") or []
        chosen = negotiate(offered)
        if not offered or self._is_stopping:
            status, name = (503, "MaintenanceInProgress") if self._is_stopping else (400, "BadRequest")
            await _deny(scope, send, status, name, "no sync protocol was offered, or the server is stopping")
            return None
        # With no version in common the handshake is finished all the same, so that the client can be told.
        agreed = chosen or Subprotocol(offered[0], PROTOCOL_VERSION_MAX, is_flexible=False)
        connection_id = secrets.token_hex(12)
        machine = ServerConnection(
            protocol_version=agreed.version,
            is_flexible=agreed.is_flexible,
            path=_realm_of(scope) if agreed.is_flexible else "",
            user=principal.user,
            connection_id=connection_id,
            body_bytes_max=self.config.body_bytes_max,
        )
        if chosen is None:
            machine.fail(105, f"versions 2 to {PROTOCOL_VERSION_MAX} are spoken here")
        connection = self._connection(machine, principal, send)
        headers = [(b"x-appservices-request-id", connection_id.encode("ascii"))]
        await send({"type": "websocket.accept", "subprotocol": agreed.token, "headers": headers})
        self._start_reaper()
        return connection

    def _connection(self, machine: ServerConnection, principal: Principal, send: Send) -> ClientConnection:
        return ClientConnection(
            machine,
            self._realms,
            principal,
            send,
            register=self._gate,
            backlog_bytes_max=self.config.backlog_bytes_max,
            body_bytes_max=self.config.body_bytes_max,
        )

    # -- life ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._gate.open()
        yield
        await self.stop()

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().create_task(self._reap())

    async def _reap(self) -> None:
        """Close connections that have been silent for too long; healthy clients ping every minute."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(REAP_INTERVAL_S, self.config.idle_timeout_s / 2))
            oldest = loop.time() - self.config.idle_timeout_s
            for connection in list(self._connections):
                if connection.last_heard_s < oldest:
                    connection.drop()

    async def close_connections(self) -> None:
        """Tell all clients to come back later, and wait a moment for that to be sent (wire.md §1.6)."""
        self._is_stopping = True
        for connection in list(self._connections):
            connection.fail(100, "the server is shutting down")
        if self._connections:
            self._all_gone = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), CLOSE_GRACE_S)

    async def stop(self) -> None:
        """Close connections, finish what is being merged, close files. Stopping twice is harmless."""
        await self.close_connections()
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        self._gate.close()
        await self.logins.close()
        await self._realms.close()
        self.office.close()

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"version": __version__, "status": "stopping" if self._is_stopping else "ok"})


DEFAULT_REALM: Final = "default"
_SYNC_ROUTE: Final = "/realm-sync"
_SERVICES_PREFIX: Final = "/api/client/v2.0/app/"


def _route_of(scope: Event) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root)


def _is_sync_route(path: str) -> bool:
    """Whether the path is `/realm-sync`, `/realm-sync/<anything>` or the same below an app."""
    _, path = _split_app(path)
    return path == _SYNC_ROUTE or path.startswith(_SYNC_ROUTE + "/")


def _split_app(path: str) -> tuple[str, str]:
    """Split a route into the app that it names, if any, and the rest."""
    if not path.startswith(_SERVICES_PREFIX):
        return "", path
    app, slash, rest = path[len(_SERVICES_PREFIX) :].partition("/")
    return app, slash + rest if app else ""


def _realm_of(scope: Event) -> str:
    """Return the realm that a flexible-mode URL names: `/realm-sync/<path>`, slashes encoded or not.

    Original SDKs name an app only; all its clients share the realm `/shared/<app>`.
    """
    app, path = _split_app(_route_of(scope))
    realm = path[len(_SYNC_ROUTE) :].lstrip("/")
    if realm:
        return "/" + realm
    return f"/shared/{app or DEFAULT_REALM}"


def _token_of(scope: Event) -> str:
    text: str = scope.get("query_string", b"").decode("latin-1")
    query = parse_qs(text)
    if "baas_at" in query:
        return query["baas_at"][-1]
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                stripped: str = token.strip()
                return stripped
    return ""


async def _deny(scope: Event, send: Send, status: int, name: str, message: str) -> None:
    """Refuse the upgrade with an HTTP error, where the ASGI server can."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4001 if status == 401 else 1008})
        return
    body = json.dumps({"error": message, "error_code": name, "link": ""}).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _http_error(request: Request, error: Any) -> Response:
    """Answer what no route of ours does."""
    kinds = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}
    phrase = HTTPStatus(error.status_code).phrase
    problem = kinds.get(error.status_code) or Problem(error.status_code, phrase.replace(" ", ""), phrase)
    response = problem_response(ApiError(problem, str(error.detail)), _accepted(request))
    response.headers.update(error.headers or {})
    return response


async def _internal_error(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(ApiError(INTERNAL, "internal error"), _accepted(request))


def _accepted(request: Request) -> str:
    """Return what content types the client understands; App Services clients only one, whatever they say."""
    if request.url.path.startswith(_SERVICES_PREFIX.removesuffix("app/")):
        return "application/json"
    return request.headers.get("accept", "")
