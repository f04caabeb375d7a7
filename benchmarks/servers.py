"""Servers to measure, each in a process of its own: ours, and the original's when REALM_PEER names its driver."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_SERVE = """
import json, sys
from hinterland.server import Config, ObjectServer
server = ObjectServer(Config(data=sys.argv[1], port=0))
server.start()
print(json.dumps({"port": server.port, "url": server.url, "token": server.admin_token()}), flush=True)
sys.stdin.read()
server.stop()
"""


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class ServerProcess:
    """A context manager; what it stores is removed at the end."""

    name = "hinterland"

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="hinterland-bench-"))
        self.port = 0
        self.url = ""
        self.token = ""
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(self.data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the server did not start")
        self.port, self.url, self.token = (json.loads(line)[key] for key in ("port", "url", "token"))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, of all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES


class OriginalServer(ServerProcess):
    """The original's own server."""

    name = "original"

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.peer = peer

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url, self.token = f"http://127.0.0.1:{self.port}", "unused"
        command = [self.peer, "serve", "--dir", str(self.data / "realms"), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        super().__exit__()


def servers() -> list[ServerProcess]:
    """Return what to measure, the reference first."""
    peer = os.environ.get("REALM_PEER")
    return [*([OriginalServer(peer)] if peer else []), ServerProcess()]
