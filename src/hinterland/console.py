"""What the commands share: where the data is, and how to print.

Nothing of the server is imported before a command needs it, so that the client's commands work without
the `server` extra.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import ConfigurationError

if TYPE_CHECKING:
    from hinterland.server import Config

__all__ = ["add_data_option", "configuration", "existing_configuration", "print_row", "print_rows", "read_password"]

DATA_HELP: Final = "data directory (default: $HINTERLAND_DATA or ./hinterland-data)"


def add_data_option(parser: Any, *, json_help: str | None = None) -> None:
    """Add `--data`, and `--json` to commands that print something."""
    parser.add_argument("--data", metavar="DIR", help=DATA_HELP)
    if json_help is not None:
        parser.add_argument("--json", action="store_true", help=json_help)


def configuration(options: argparse.Namespace, *names: str) -> Config:
    """Make the configuration from options and environment."""
    _need_server()
    from hinterland.server import Config

    return Config.from_environment(os.environ, **{name: getattr(options, name) for name in names})


def existing_configuration(options: argparse.Namespace) -> Config:
    """Make the configuration of a command that must not make a data directory."""
    config = configuration(options, "data")
    if not Path(config.data).exists():
        raise ConfigurationError(f"there is no data directory {config.data}; name it with --data or HINTERLAND_DATA")
    return config


def _need_server() -> None:
    try:
        import argon2  # noqa: F401
        import jwt  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"this command needs the server extra: pip install 'hinterland[server]' ({error})"
        ) from error


def read_password() -> str:
    """Ask for a password, or read it from standard input."""
    return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def print_row(row: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Print one thing: a line for people, or a JSON object for programs."""
    print(json.dumps(row) if as_json else text)


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a table for people, or a JSON array for programs."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = [list(columns)] + [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[n]) for line in table) for n in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
