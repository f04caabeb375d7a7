"""The whole HTTP API: its operations, its document, its routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hinterland.server.api.app_services import AppServicesApi
from hinterland.server.api.audit import AuditApi
from hinterland.server.api.auth import AuthApi
from hinterland.server.api.document import openapi_document
from hinterland.server.api.operation import Call, Operation, routes_of
from hinterland.server.api.pages import page_routes
from hinterland.server.api.permissions import PermissionsApi
from hinterland.server.api.realms import RealmsApi
from hinterland.server.api.users import UsersApi
from hinterland.server.config import Config
from hinterland.server.logins import Logins
from hinterland.server.office import Office
from hinterland.server.permissions import PathPermissions
from hinterland.server.tokens import Principal

__all__ = ["Api"]


class Api:
    """The HTTP API, without `/health`.

    Args:
        config: For the public URL.
        office: Users and tokens.
        logins: What checks credentials.
        permissions: What may be done.
        realm_file: Where the file of a realm is.
        delete_realm: Disconnects clients and deletes a realm's file.
        connected_files: Gives the idents of the client files of a realm that are connected.
    """

    def __init__(
        self,
        config: Config,
        office: Office,
        logins: Logins,
        permissions: PathPermissions,
        realm_file: Callable[[str], Path],
        delete_realm: Callable[[str], Awaitable[None]],
        connected_files: Callable[[str], Collection[int]],
    ) -> None:
        self._office = office
        self._delete_file = delete_realm
        self._passwords = logins.passwords
        directory = office.directory
        users = UsersApi(directory, logins.passwords, self._delete_realms_below)
        self.operations: Sequence[Operation] = [
            *AuthApi(logins, office.issuer, permissions).operations(),
            *users.operations(),
            *PermissionsApi(permissions).operations(),
            *RealmsApi(directory, permissions, realm_file, self._delete_realm, connected_files).operations(),
            *AuditApi(directory).operations(),
            *AppServicesApi(logins, office.issuer, directory, users, config.public_url).operations(),
        ]
        self._document = openapi_document(self.operations)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *routes_of(self.operations, self),
            *page_routes(self._passwords),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/.well-known/jwks.json", self._jwks, methods=["GET"]),
        ]

    async def principal(self, token: str) -> Principal:
        """Return whom an access token speaks for; see `operation.Guard`."""
        return await asyncio.to_thread(self._office.issuer.check_access, token)

    async def record(self, call: Call[Any, Any], action: str, outcome: str) -> None:
        """Write an administrative act into the audit log.

        What people do to themselves is none.
        """
        actor = call.principal.user
        if actor == call.target and not call.principal.is_admin:
            return
        details = {**call.detail, "outcome": outcome, "address": call.address}
        now_s = int(time.time())
        await asyncio.to_thread(self._office.directory.audit.add, actor, action, call.target, details, now_s=now_s)

    async def _delete_realm(self, path: str) -> None:
        await self._delete_file(path)
        await asyncio.to_thread(self._office.directory.realms.remove, path)

    async def _delete_realms_below(self, prefix: str) -> int:
        count = 0
        while found := await asyncio.to_thread(self._office.directory.realms.page, below=prefix, limit=100):
            for realm in found:
                await self._delete_realm(realm.path)
                count += 1
        return count

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(self._document)

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse(self._office.keys.jwks(), headers={"Cache-Control": "public, max-age=300"})
