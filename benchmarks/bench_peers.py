"""An object database among its peers: workload L, the same for Hinterland, sqlite3, two ORMs and ObjectBox.

    python -m benchmarks.bench_peers [--objects 100000] [--rounds 3] [--peers hinterland,sqlite3] [--steps get,update]

Each peer runs in a process of its own, in turns, and the best CPU time of each step counts. Peers are
optional: `pip install sqlalchemy peewee objectbox`. The exit status is 1 if a target was missed.

"original" is the original's C++ engine called from Python with the thinnest proxies. It is not run
here: its times beside raw sqlite3 were measured once, and are scaled by what sqlite3 takes here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.workload import PEERS, STEPS, load

HERE = Path(__file__).resolve().parent
ORIGINAL_OVER_SQLITE3 = {"create": 0.56 / 0.36, "iterate": 0.17 / 0.07, "get": 0.24 / 0.68, "update": 0.28 / 0.23}
OBJECTS_STEPS = ("create", "iterate", "get", "update")
ORM_RATIO_MIN = 5
SQLITE3_RATIO_MIN = {"create": 0.6, "update": 0.6, "commit": 0.6, "count": 0.8, "aggregate": 0.8}
NOTIFY_S_MAX = 0.005
IMPORT_S_MAX = 0.15
IMPORTS = 7


def surroundings(bytecode: str) -> dict[str, str]:
    """Return variables of processes that keep their compiled modules in a folder, as installed programs do."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": bytecode}


def run(peer: str, objects: int, steps: str, scope: dict[str, str]) -> dict[str, float]:
    """Run a peer in a process of its own; return seconds by step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.peers.workload", peer]
        command += ["--objects", str(objects), "--steps", steps, "--folder", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE.parent, env=scope)
    found = json.loads(done.stdout.splitlines()[-1])
    for step, error in found["errors"].items():
        raise SystemExit(f"{peer}, {step}: {error}")
    return found["seconds"]


def import_s(statement: str, scope: dict[str, str]) -> float:
    """Return what an import takes in a fresh process, at best, once its modules are compiled."""
    code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=scope).stdout for _ in range(IMPORTS)
    ]
    return min(map(float, runs))


class Comparison:
    """The best times of all peers, and what follows of them."""

    def __init__(self, best: dict[str, dict[str, float]]) -> None:
        self.best = best
        self.ours = best["hinterland"]
        self.missed = False
        raw = best.get("sqlite3")
        if raw is not None:
            best["original"] = {one: raw[one] * over for one, over in ORIGINAL_OVER_SQLITE3.items() if one in raw}

    def table(self) -> None:
        """Print seconds, and how many times longer each peer takes than we do."""
        others = [name for name in self.best if name != "hinterland"]
        print(f"\n{'':10}{'ours s':>9}" + "".join(f"{name:>20}" for name in others))
        for step, ours in self.ours.items():
            line = f"{step:10}{ours:9.4f}"
            for name in others:
                theirs = self.best[name].get(step)
                line += f"{'—':>20}" if theirs is None else f"{f'{theirs:.4f} = {theirs / ours:6.2f} x':>20}"
            print(line)
        print()

    def check(self, name: str, value: float, bound: float, *, at_least: bool = False) -> None:
        is_met = value >= bound if at_least else value <= bound
        self.missed |= not is_met
        print(f"{name:58} {value:8.3f} ({'>=' if at_least else '<='} {bound:g}) {'ok' if is_met else 'MISSED'}")

    def targets(self) -> None:
        """Print each target that can be checked with the peers that ran."""
        for step in OBJECTS_STEPS:
            for peer, least in (("sqlalchemy", ORM_RATIO_MIN), ("objectbox", 1), ("original", 1)):
                theirs = self.best.get(peer, {}).get(step)
                if theirs is not None and step in self.ours:
                    self.check(f"{step}: times as quick as {peer}", theirs / self.ours[step], least, at_least=True)
        for step, least in SQLITE3_RATIO_MIN.items():
            theirs = self.best.get("sqlite3", {}).get(step)
            if theirs is not None and step in self.ours:
                self.check(f"{step}: times as quick as sqlite3", theirs / self.ours[step], least, at_least=True)
        if "notify" in self.ours:
            self.check("notify: seconds", self.ours["notify"], NOTIFY_S_MAX)
        if "import" in self.ours:
            self.check("import: seconds", self.ours["import"], IMPORT_S_MAX)


def main() -> int:
    """Run all peers that are there and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--steps", default=",".join(STEPS))
    arguments = parser.parse_args()
    present = []
    for name in dict.fromkeys(["hinterland", *arguments.peers.split(",")]):
        try:
            statement = load(name).import_statement()
        except ImportError as error:
            print(f"{name} is left out: {error}; pip install {name}")
            continue
        present.append((name, statement))
    best: dict[str, dict[str, float]] = {name: {} for name, _ in present}
    with tempfile.TemporaryDirectory() as bytecode:
        scope = surroundings(bytecode)
        for name, statement in present:
            best[name]["import"] = import_s(statement, scope)
        for _ in range(arguments.rounds):
            for name, _ in present:
                for step, seconds in run(name, arguments.objects, arguments.steps, scope).items():
                    best[name][step] = min(seconds, best[name].get(step, seconds))
    print(f"{arguments.objects:,} objects, best of {arguments.rounds} rounds; x: how many times as long as ours")
    for step, meaning in STEPS.items():
        print(f"  {step:10}{meaning}")
    comparison = Comparison(best)
    comparison.table()
    comparison.targets()
    return int(comparison.missed)


if __name__ == "__main__":
    sys.exit(main())
