"""The folder that a demo leaves behind. Only a folder that a demo made is ever removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from hinterland.errors import ConfigurationError

__all__ = ["DemoFolder"]

MARKER: Final = ".hinterland-demo"


class DemoFolder:
    """Where everything of one demo is."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.server = self.root / "server"
        self.logs = self.root / "logs"

    def home(self, name: str) -> Path:
        """Return the folder of a person's device."""
        return self.root / "devices" / name

    def recreate(self) -> None:
        """Start with a new folder; the previous demo's goes.

        Raises:
            ConfigurationError: There is something that no demo made.
        """
        try:
            if self.root.is_dir() and (self.root / MARKER).is_file():
                shutil.rmtree(self.root)
            elif self.root.exists() and not (self.root.is_dir() and not any(self.root.iterdir())):
                raise ConfigurationError(
                    f"{self.root} exists and was not made by a demo, so it is left alone; "
                    "choose another place with --data"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / MARKER).write_text("Made by `hinterland demo`, which replaces this folder.\n", "utf-8")
            self.logs.mkdir()
        except OSError as error:
            raise ConfigurationError(f"{self.root} cannot be prepared: {error.strerror}") from error
