"""Refused by pyright; mypy does not check the keywords of classes with a metaclass (checked by test_typing.py)."""

from __future__ import annotations

import hinterland as hl


class Person(hl.Object, name="person_v1"):
    age: int = 0


class Wrong(hl.Object, name=5):  # error
    age: int = 0
