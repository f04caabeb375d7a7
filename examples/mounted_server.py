"""A sync server inside a web application: `uvicorn mounted_server:app --ws websockets-sansio --port 9080`.

uvicorn's own WebSocket pings must be off (`--ws-ping-interval 0`): original clients do not answer them.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from hinterland.server import Config, ObjectServer, providers

server = ObjectServer(Config(data="hinterland-data", auth=[providers.Password()]))


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello. Realms sync at this very address.")


app = Starlette(routes=[Route("/", home), Mount("/", app=server.asgi)])
