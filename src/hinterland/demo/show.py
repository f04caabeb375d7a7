"""The course of the demo: what happens in which order, and the check at its end."""

from __future__ import annotations

import argparse
import secrets
import signal
import time
from typing import Any, Final

from rich.console import Console

from hinterland.demo.cast import Actor, Cast, DemoFailedError
from hinterland.demo.conflicts import CONFLICTS
from hinterland.demo.folder import DemoFolder
from hinterland.demo.model import CATALOGUE, INSPECTIONS
from hinterland.demo.replica import Replica, read_replica
from hinterland.demo.screen import Screen
from hinterland.server.layout import DataDirectory

__all__ = ["run"]

PEOPLE: Final = (
    ("ada", "GB"),
    ("grace", "US"),
    ("linus", "FI"),
    ("yukihiro", "JP"),
    ("edsger", "NL"),
    ("barbara", "CA"),
)
TIME_LIMIT_S: Final = 120.0
TRANSACTIONS: Final = 60
INTERRUPTED: Final = 130


def run(options: argparse.Namespace) -> int:
    """Run the demo with the options of `hinterland.demo.add_demo_options`; return the exit status."""
    screen = Screen(Console(highlight=False))
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return 0 if Demo(screen, options).play() else 1
    except KeyboardInterrupt:
        screen.end_bars()
        screen.console.print("\ninterrupted; all processes have ended")
        return INTERRUPTED
    except DemoFailedError as error:
        screen.end_bars()
        screen.console.print(f"\n{error}", style="red", markup=False)
        return 1
    finally:
        screen.end_bars()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class Demo:
    """One run of the show."""

    def __init__(self, screen: Screen, options: argparse.Namespace) -> None:
        self._screen = screen
        self._folder = DemoFolder(options.data)
        self._port: int = options.port
        self._seed: int = options.seed
        self._people = PEOPLE[: options.workers]
        self._server: dict[str, Any] = {}
        self._replicas: dict[str, dict[str, Replica]] = {}
        self._outcomes: dict[str, list[Any]] = {}

    def play(self) -> bool:
        """Play it; return whether all copies came out equal and as predicted."""
        started = time.monotonic()
        self._folder.recreate()
        with Cast(self._folder.logs, self._hear, started + TIME_LIMIT_S) as cast:
            server = self._open_office(cast)
            workers = self._send_out(cast)
            self._work_offline(cast, workers)
            self._come_back(cast, workers)
            cast.dismiss(workers)
            cast.dismiss([server])
        is_equal = self._check()
        self._screen.note(f"{time.monotonic() - started:.1f} s in all")
        self._say_what_is_left()
        return is_equal

    def _hear(self, actor: Actor, event: str, content: dict[str, Any]) -> None:
        """Show or keep what a process tells."""
        screen = self._screen
        match event:
            case "progress":
                screen.transfer(actor.name, **content)
            case "started":
                self._server = content
            case "written":
                screen.say(actor.name, f"{content['count']:,} airports are in the local file; uploading goes on behind")
            case "planned":
                screen.say(actor.name, f"{content['count']} inspections planned in {INSPECTIONS}")
            case "refused":
                screen.say(actor.name, "tries to write the catalogue, which is open for reading: refused")
            case "did":
                screen.say(actor.name, content["text"])
            case "edited":
                done = ", ".join(f"{count} {kind}" for kind, count in content["done"].items())
                screen.say(actor.name, f"at {content['airports']} airports ({content['country']} and shared): {done}")
            case "replica":
                replica = Replica(content["counts"], content["digest"])
                self._replicas.setdefault(actor.name, {})[content["realm"]] = replica
            case "outcomes":
                self._outcomes[actor.name] = content["values"]

    def _open_office(self, cast: Cast) -> Actor:
        """Start the server and fill the catalogue."""
        self._screen.step(1, "The server starts; the back office loads the world's airports")
        settings: dict[str, object] = {"data": str(self._folder.server), "port": self._port}
        server = cast.hire("server", "server", settings)
        cast.all_do([server], "start")
        self._screen.say("server", f"listens at {self._server['url']}")
        office = cast.hire("office", "backend", {**self._server, "seed": self._seed}, home=self._folder.home("office"))
        cast.all_do([office], "load")
        cast.dismiss([office])
        return server

    def _send_out(self, cast: Cast) -> list[Actor]:
        """Start the field workers' devices, which download everything."""
        names = ", ".join(name for name, _ in self._people)
        self._screen.step(2, f"Field workers, each a process with files of its own: {names}")
        workers = [
            cast.hire(
                name,
                "worker",
                {
                    "name": name,
                    "turn": turn,
                    "country": country,
                    "seed": self._seed,
                    "url": self._server["url"],
                    "password": secrets.token_urlsafe(12),
                },
                home=self._folder.home(name),
            )
            for turn, (name, country) in enumerate(self._people)
        ]
        cast.all_do(workers, "download")
        return workers

    def _work_offline(self, cast: Cast, workers: list[Actor]) -> None:
        self._screen.step(3, "All of them go offline, and edit the same things")
        cast.all_do(workers, "offline")
        for number, conflict in enumerate(CONFLICTS):
            self._screen.note(f"- {conflict.title}")
            for worker in workers:
                cast.all_do([worker], "conflict", number=number)
        self._screen.note("- and a day's work each")
        cast.all_do(workers, "edit", transactions=TRANSACTIONS)
        cast.all_do(workers, "state", catalogue=False)
        self._screen.replicas("Offline, the copies differ", {name: self._replicas[name] for name, _ in self._people})

    def _come_back(self, cast: Cast, workers: list[Actor]) -> None:
        self._screen.step(4, "They come back, all at the same time")
        cast.all_do(workers, "online")
        cast.all_do(workers, "settle")
        cast.all_do(workers, "outcomes")
        cast.all_do(workers, "state", catalogue=True)
        cast.all_do(workers, "close")

    def _check(self) -> bool:
        """Compare all copies with each other, and the outcomes with what the rules say."""
        self._screen.step(5, "How the conflicts ended")
        names = [name for name, _ in self._people]
        is_expected = True
        for number, conflict in enumerate(CONFLICTS):
            expected = conflict.expect(names)
            is_met = all(values[number] == expected for values in self._outcomes.values())
            is_expected = is_expected and is_met
            self._screen.note(f"{'✓' if is_met else '✗'} {conflict.title}: {conflict.rule}: {_short(expected)}")
            if not is_met:
                for name, values in self._outcomes.items():
                    self._screen.say(name, f"has {values[number]!r}")
        self._screen.step(6, "Are they equal? The server has been stopped; this is its file")
        data = DataDirectory(self._folder.server)
        realms = (CATALOGUE, INSPECTIONS)
        self._replicas = {name: {realm: self._replicas[name][realm] for realm in realms} for name in names}
        self._replicas["server"] = {realm: read_replica(data.realm_file(realm)) for realm in realms}
        self._screen.replicas("After coming back", self._replicas)
        states = list(self._replicas.values())
        is_equal = all(state == states[0] for state in states)
        count = {2: "Two", 3: "Three", 4: "Four"}.get(len(states), str(len(states)))
        text, style = (f"{count} states, all equal.", "bold green") if is_equal else ("The states differ!", "bold red")
        self._screen.console.print(f"   {text}", style=style)
        if is_equal and not is_expected:
            self._screen.console.print("   But a conflict did not end as its rule says.", style="bold red")
        return is_equal and is_expected

    def _say_what_is_left(self) -> None:
        root = self._folder.root
        self._screen.console.print("\n[bold]For the curious[/]")
        for line in (
            f"{root} is kept until the next demo. In it:",
            "server/realms/     the server's realms: plain SQLite files; _history is the log of changesets",
            "devices/NAME/      what a device has: its user and its realms",
            "logs/              what each process logged",
            "Serve it again:    hinterland serve --data " + str(self._folder.server),
        ):
            self._screen.note(line)


def _short(value: object) -> str:
    match value:
        case list():
            return ", ".join(map(str, value)) or "nothing is left"
        case dict():
            return ", ".join(f"{key} {number:g}" for key, number in value.items())
        case bool():
            return "it is there" if value else "it is gone"
        case _:
            return str(value)
