"""Real processes, killed at random moments: nothing acknowledged is lost, nothing counts twice (I3)."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

CLIENTS = ("ada", "bob")
ROWS = 100  # per client, so there are 200 rounds of writes
LINES_TO_KILL = (1, 16)
LINE_WAIT_S = 30.0
SOURCE = Path(__file__).parents[2] / "src"
CLIENT = Path(__file__).with_name("crash_client.py")


class Process:
    """A child process whose lines arrive in a queue shared by all."""

    def __init__(self, name: str, command: list[str], home: Path, lines: queue.Queue[tuple[Process, str]]) -> None:
        self.name = name
        path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "HINTERLAND_HOME": str(home), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        self.errors = (home / f"{name}.log").open("ab")
        self.child = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=self.errors, env=environment, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()

    def _read(self, lines: queue.Queue[tuple[Process, str]]) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            lines.put((self, line.strip()))
        lines.put((self, "ended"))

    def kill(self) -> None:
        """End it as a power failure would; all it printed before is in the queue afterwards."""
        self.child.kill()
        self.child.wait()
        self._reader.join()
        assert self.child.stdout is not None
        self.child.stdout.close()
        self.errors.close()


class Scene:
    """A server and its clients, and what the clients said."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.directory = directory
        self.random = random
        self.lines: queue.Queue[tuple[Process, str]] = queue.Queue()
        self.committed: dict[str, list[int]] = defaultdict(list)
        self.acknowledged: dict[str, list[int]] = defaultdict(list)
        self.states: dict[str, str] = {}
        self.finished: set[str] = set()
        self.clients: dict[str, Process] = {}
        self.kills: dict[str, int] = defaultdict(int)
        self.port = 0
        self.server = self.start_server()

    def start_server(self) -> Process:
        """Start the server, on the same port each time, and wait until it serves."""
        command = ["-m", "hinterland.cli", "serve", "--data", str(self.directory / "data"), "--port", str(self.port)]
        home = self.directory / "server"
        home.mkdir(exist_ok=True)
        self.server = Process("server", command, home, self.lines)
        self.wait_for(self.server, "serves")
        return self.server

    def start_client(self, name: str, rows: int, *extra: str) -> Process:
        """Start a client process."""
        home = self.directory / name
        home.mkdir(exist_ok=True)
        command = [str(CLIENT), f"http://127.0.0.1:{self.port}", name, str(rows), *extra]
        self.clients[name] = Process(name, command, home, self.lines)
        return self.clients[name]

    def take_line(self) -> tuple[Process, str]:
        """Wait for the next line of anybody, and note what it says."""
        process, line = self.lines.get(timeout=LINE_WAIT_S)
        if match := re.fullmatch(r"(committed|acknowledged) (\d+)", line):
            getattr(self, match[1])[process.name].append(int(match[2]))
        elif match := re.search(r" at http://127\.0\.0\.1:(\d+)$", line):
            self.port = int(match[1])
        elif line.startswith("state "):
            self.states[process.name] = line
        elif line == "ended" and process.child.wait() == 0:
            self.finished.add(process.name)
        elif line == "ended" and process in (self.server, *self.clients.values()) and process.child.returncode != -9:
            log = self.directory / process.name / f"{process.name}.log"
            pytest.fail(f"{process.name} ended with {process.child.returncode}:\n{log.read_text()[-5000:]}")
        return process, line

    def wait_for(self, process: Process, text: str) -> None:
        """Wait until a process says something."""
        deadline = time.monotonic() + LINE_WAIT_S
        while time.monotonic() < deadline:
            who, line = self.take_line()
            if who is process and text in line:
                return
        pytest.fail(f"{process.name} did not say {text!r} within {LINE_WAIT_S} s")

    def kill_somebody(self) -> None:
        """Kill the server or a client that is not done, and start it again."""
        name = self.random.choice(["server", *(one for one in CLIENTS if one not in self.finished)])
        self.kills[name] += 1
        if name == "server":
            self.server.kill()
            self.start_server()
        else:
            self.clients[name].kill()
            self.start_client(name, ROWS)

    def close(self) -> None:
        """End everything that still runs."""
        for process in (self.server, *self.clients.values()):
            process.kill()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene; all its processes are gone afterwards."""
    made = Scene(tmp_path, Random(20_261_122))
    yield made
    made.close()


def test_killed_processes_lose_and_double_nothing(scene: Scene) -> None:
    """SIGKILL of the server and of clients during 200 commits: every commit is there, whole and once (I3)."""
    for name in CLIENTS:
        scene.wait_for(scene.start_client(name, 0, "finish"), "ended")
    scene.finished.clear()
    for name in CLIENTS:
        scene.start_client(name, ROWS)

    while scene.finished != set(CLIENTS):
        for _ in range(scene.random.randrange(*LINES_TO_KILL)):
            scene.take_line()
            if scene.finished == set(CLIENTS):
                break
        else:
            scene.kill_somebody()

    for _ in range(2):  # the second time, everybody has what the others uploaded in the first
        for name in CLIENTS:
            scene.wait_for(scene.start_client(name, ROWS, "finish"), "ended")
    rows = sorted(f"{name}{number}" for name in CLIENTS for number in range(ROWS))
    counters = sorted([("all", ROWS * len(CLIENTS)), *((name, ROWS) for name in CLIENTS)])
    assert set(scene.kills) == {"server", *CLIENTS}
    for name in CLIENTS:
        # A commit that a crash took back would have been made, and told, once more.
        assert scene.committed[name] == sorted(set(scene.committed[name]))
        assert scene.acknowledged[name]
        assert scene.states[name] == f"state {counters} {rows}"
