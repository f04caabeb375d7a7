"""The server's process: `python -m hinterland.demo.server SETTINGS`."""

from __future__ import annotations

import json
import logging
import sys

from hinterland.demo.channel import Channel, serve
from hinterland.server import Config, ObjectServer

__all__: list[str] = []


def main() -> None:
    """Run a server until there are no more commands."""
    logging.basicConfig(level=logging.INFO)
    channel = Channel()
    settings = json.loads(sys.argv[1])
    server = ObjectServer(Config(data=settings["data"], address="127.0.0.1", port=settings["port"]))

    def start() -> None:
        server.start()
        channel.send("started", url=server.url, admin_token=server.admin_token())

    try:
        serve(channel, {"start": start})
    finally:
        server.stop()


if __name__ == "__main__":
    main()
