"""The self-hosted server; needs the `server` extra: `pip install hinterland[server]`."""

from __future__ import annotations

from hinterland.server import providers
from hinterland.server.config import Config
from hinterland.server.server import ObjectServer

__all__ = ["Config", "ObjectServer", "providers"]
