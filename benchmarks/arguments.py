"""What benchmarks that take numbers make of their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

__all__ = ["number", "numbers", "parser"]


def parser(document: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the documentation of a module."""
    return argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)


def number(document: str | None, name: str, default: int) -> int:
    """Return the only argument, or its default."""
    made = parser(document)
    made.add_argument(name, type=int, nargs="?", default=default, help=f"{default:,} unless given")
    found: int = made.parse_args().__dict__[name]
    return found


def numbers(document: str | None, name: str, defaults: Sequence[int]) -> list[int]:
    """Return the arguments, or their defaults if there are none."""
    made = parser(document)
    usual = " ".join(map(str, defaults))
    made.add_argument(name, type=int, nargs="*", default=list(defaults), help=f"{usual} unless given")
    found: list[int] = made.parse_args().__dict__[name]
    return found
