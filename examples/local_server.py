"""A server for the examples, with what its operator types: `hinterland users create` and so on; waiting for devices."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import hinterland as hl
from hinterland import cli

STOP_S = 20
TIMEOUT_S = 30


@dataclass(frozen=True)
class LocalServer:
    """A server in another process, where it listens, and where it keeps everything."""

    url: str
    data: Path

    def operate(self, *arguments: str) -> str:
        """Do `hinterland ARGUMENTS` on the server's data; return what it prints."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            status = cli.main([*arguments, "--data", str(self.data)])
        if status:
            raise RuntimeError(f"hinterland {' '.join(arguments)} failed, see above")
        return printed.getvalue().strip()

    def admin(self) -> hl.SyncUser:
        """Log in as an admin of the server."""
        return hl.SyncUser.log_in(self.url, hl.Credentials.admin_token(self.operate("token", "--admin")))

    def register(self, name: str) -> hl.SyncUser:
        """Make an account, as people do in an app, and log in."""
        return hl.SyncUser.log_in(self.url, hl.Credentials.username_password(name, f"{name}'s secret", register=True))


def settle(devices: dict[str, hl.Realm]) -> None:
    """Wait until all have sent what they have, and have got what there is; only a show needs that."""
    for realm in devices.values():
        realm.session.wait_for_upload(TIMEOUT_S)
    for realm in devices.values():
        realm.session.wait_for_download(TIMEOUT_S)
        realm.refresh()


@contextmanager
def serve(data: Path) -> Iterator[LocalServer]:
    """Run a server on a free port of this machine until the block ends."""
    command = [sys.executable, "-m", "hinterland.cli", "serve", "--port", "0", "--no-durable", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                raise RuntimeError("the server did not start")
            yield LocalServer(found[0], data)
        finally:
            process.terminate()
            process.wait(STOP_S)
