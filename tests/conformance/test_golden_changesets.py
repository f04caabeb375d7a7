"""The changesets of the original implementation decode, and encode to what §1.8 promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.golden import RECORDING_NAMES, read_recording

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.text import describe


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_recorded_changesets_survive_encoding(shared_dir: Path, name: str) -> None:
    """Every changeset re-encodes to an equal one, those of the server to equal bytes (merge.md §1.8)."""
    count = 0
    for message, entry in read_recording(name, shared_dir).changesets():
        changeset = decode(entry.changeset)
        encoded = encode(changeset)
        assert decode(encoded) == changeset, f"{name}: {message.head}"
        assert encode(decode(encoded)) == encoded, f"{name}: {message.head}"
        if message.sender == "server":
            assert encoded == entry.changeset, f"{name}: {message.head}"
        count += 1
    assert count > 0


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_recorded_changesets_have_a_text_form(shared_dir: Path, name: str) -> None:
    """Every changeset is described by a line per instruction and one of its strings (merge.md §1.11)."""
    for _, entry in read_recording(name, shared_dir).changesets():
        changeset = decode(entry.changeset)
        lines = describe(changeset).splitlines()
        assert len(lines) == len(changeset) + bool(changeset.strings)
