"""The documentation's Python code runs as it is printed, and the package keeps what its pages promise."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.server import Config, ObjectServer

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md")))]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SERVER = "http://localhost:9080"


def blocks(page: str) -> list[str]:
    """Return a page's blocks of Python."""
    return BLOCK.findall((REPOSITORY / page).read_text(encoding="utf-8"))


@pytest.fixture
def url(tmp_path: Path, page: str) -> Iterator[str]:
    """A server such as the page asks for, and an empty home for its users."""
    is_development = "hinterland serve --development" in (REPOSITORY / page).read_text(encoding="utf-8")
    config = Config(data=tmp_path / "server", port=0, durable=False, development=is_development)
    server = ObjectServer(config).start()
    before = hl.sync_directory()
    hl.sync_directory(tmp_path / "home")
    yield server.url
    hl.sync_directory(before)
    server.stop()


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/accounts.md", "docs/subscriptions.md"])
def test_pages_run_from_top_to_bottom(page: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer can paste the page's blocks, in their order, against a server of their own."""
    monkeypatch.chdir(tmp_path)
    module = type(sys)("pasted")
    monkeypatch.setitem(sys.modules, "pasted", module)
    realms: list[hl.Realm] = []
    for block in blocks(page):
        exec(compile(block.replace(SERVER, url), page, "exec"), vars(module))
        realms += [one for one in vars(module).values() if isinstance(one, hl.Realm) and one not in realms]
    assert realms
    for realm in realms:
        realm.close()
    for user in hl.SyncUser.all.values():
        user.log_out()


@pytest.mark.parametrize("page", PAGES)
def test_all_blocks_are_python(page: str) -> None:
    """Every block that calls itself Python compiles."""
    for block in blocks(page):
        compile(block, page, "exec")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_compile(path: Path) -> None:
    """Every example compiles and says what it is for."""
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    assert isinstance(code.co_consts[0], str)


def test_local_realms_load_no_network() -> None:
    """A program with local realms pays for neither asyncio nor sockets when it imports the package."""
    check = "import sys, hinterland; print([name for name in ('asyncio', 'ssl', 'websockets') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
