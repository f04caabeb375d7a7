"""What the demo shows: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from hinterland.demo.replica import Replica

__all__ = ["Screen"]

ARROWS: Final = {"upload": "↑", "download": "↓"}


class Screen:
    """Writes to a rich console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: Progress | None = None
        self._tasks: dict[tuple[str, str, str], TaskID] = {}
        self._finished: set[tuple[str, str, str]] = set()

    def step(self, number: int, text: str) -> None:
        """Begin a part of the show."""
        self.end_bars()
        self.console.print(f"\n[bold cyan]{number}.[/] [bold]{escape(text)}[/]")

    def say(self, who: str, text: str) -> None:
        """Tell what somebody did."""
        self.console.print(f"   [green]{escape(who):<8}[/] {escape(text)}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Tell something."""
        self.console.print(f"   {escape(text)}", highlight=False, soft_wrap=True)

    def transfer(self, who: str, direction: str, realm: str, transferred: int, transferable: int) -> None:
        """Show how far a transfer is."""
        if transferable == 0:
            return
        key = (who, direction, realm)
        if not self.console.is_terminal:
            if transferred >= transferable and key not in self._finished:
                self._finished.add(key)
                self.say(who, f"{ARROWS[direction]} {realm}  {transferred:,} bytes")
            return
        bars = self._bars or self._start_bars()
        if key not in self._tasks:
            label = f"{escape(who):<8} {ARROWS[direction]} {escape(realm)}"
            self._tasks[key] = bars.add_task(label, total=transferable)
        bars.update(self._tasks[key], completed=transferred, total=max(transferable, transferred))

    def _start_bars(self) -> Progress:
        self._bars = Progress(
            TextColumn("   {task.description}"),
            BarColumn(bar_width=40),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )
        self._bars.start()
        return self._bars

    def end_bars(self) -> None:
        """Leave the progress bars as they are; later transfers get new ones."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        self._tasks.clear()
        self._finished.clear()

    def replicas(self, title: str, rows: Mapping[str, Mapping[str, Replica]]) -> None:
        """Show copies side by side: by name of the holder, then by realm."""
        self.end_bars()
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("copy")
        first = next(iter(rows.values()))
        for realm in first:
            for name in first[realm].counts:
                table.add_column(name, justify="right")
            table.add_column(f"digest of …{realm.removeprefix('/shared')}")
        for who, realms in rows.items():
            cells = []
            for realm, replica in realms.items():
                cells += [f"{count:,}" for count in replica.counts.values()]
                is_common = all(other.get(realm) == replica for other in rows.values())
                cells.append(f"[{'green' if is_common else 'yellow'}]{replica.digest}[/]")
            table.add_row(escape(who), *cells)
        self.console.print(table)
