"""`hinterland demo` as people run it: a process of its own, judged by its exit status and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "hinterland.cli", "demo"]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=110, check=False)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of live processes whose settings or home name the folder."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            line = (one / "cmdline").read_bytes() + (one / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line and b"hinterland.demo." in line and one.name != str(os.getpid()):
            found.append(line.decode("utf-8", "replace"))
    return found


def test_all_states_are_equal_and_the_data_is_left(tmp_path):
    """The demo ends with equal copies, as a second run in the same folder does, and keeps the server's data."""
    folder = tmp_path / "data"
    done = run_demo("--data", str(folder), "--workers", "2", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Three states, all equal." in done.stdout
    assert "✗" not in done.stdout
    assert list((folder / "server" / "realms").glob("*/*/*.hldb"))


def test_a_foreign_folder_is_left_alone(tmp_path):
    """A folder that no demo made is never removed: exit status 2, a message that says what to do."""
    keep = tmp_path / "mine.txt"
    keep.write_text(json.dumps("mine"), "utf-8")
    done = run_demo("--data", str(tmp_path))
    assert done.returncode == 2
    assert "--data" in done.stderr
    assert keep.exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_it_is_interrupted(tmp_path, number):
    """Neither Ctrl-C nor the sudden death of the demo leaves processes behind."""
    folder = tmp_path / "data"
    with subprocess.Popen([*COMMAND, "--data", str(folder)], stdout=subprocess.PIPE, text=True) as demo:
        for line in demo.stdout:
            if "planned" in line:
                break
        assert processes_of(folder)
        demo.send_signal(number)
        assert demo.wait(30) == (130 if number == signal.SIGINT else -number)
    deadline = time.monotonic() + 20
    while processes_of(folder):
        assert time.monotonic() < deadline, processes_of(folder)
        threading.Event().wait(0.05)
