"""Progress handlers (features.md §3.6)."""

from __future__ import annotations

import threading

import pytest

from hinterland.errors import UsageError
from hinterland.sync.callbacks import in_background
from hinterland.sync.progress import Progress, TransferProgress


def settle() -> None:
    """Wait until the callback thread has come so far."""
    done = threading.Event()
    in_background(done.set)
    assert done.wait(10)


def test_downloads_count_what_came_and_what_is_estimated() -> None:
    """Transferable is what came plus what the server says is still to come (wire.md §5.5)."""
    progress, seen = TransferProgress(), []
    progress.watch(seen.append, "indefinite")

    progress.add(10, 30)
    progress.add(30, 0)
    settle()

    assert seen == [Progress(10, 40), Progress(40, 40)]
    assert [one.is_complete for one in seen] == [False, True]
    assert [one.fraction for one in seen] == [0.25, 1.0]


def test_uploads_count_what_is_left() -> None:
    """Acknowledged bytes are those that are not left any more."""
    progress, seen = TransferProgress(), []
    progress.watch(seen.append, "indefinite")

    for remaining in (100, 40, 40, 0, 25):
        progress.set_remaining(remaining)
    settle()

    assert seen == [Progress(0, 100), Progress(60, 100), Progress(100, 100), Progress(100, 125)]


def test_current_mode_ends_with_what_was_outstanding() -> None:
    """Later work is not reported, and does not move the goal."""
    progress, seen = TransferProgress(), []
    progress.set_remaining(50)
    progress.watch(seen.append, "current")

    for remaining in (40, 60, 0, 10):
        progress.set_remaining(remaining)
    settle()

    assert seen[-1].is_complete
    assert len({one.transferable for one in seen}) == 1
    assert not progress.is_watched


def test_a_cancelled_handler_is_not_called() -> None:
    """`cancel` ends the calls, and may be repeated."""
    progress, seen = TransferProgress(), []
    token = progress.watch(seen.append, "indefinite")
    token.cancel()
    token.cancel()

    progress.add(1, 0)
    settle()

    assert seen == []


def test_an_unknown_mode_is_refused() -> None:
    """With the names of the modes."""
    with pytest.raises(UsageError, match="'indefinite' nor 'current'"):
        TransferProgress().watch(print, "forever")  # type: ignore[arg-type]


def test_a_failing_handler_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """The application's exception is logged, and the next callback runs."""

    def fail(_: Progress) -> None:
        raise RuntimeError("boom")

    progress, seen = TransferProgress(), []
    progress.watch(fail, "indefinite")
    progress.watch(seen.append, "indefinite")

    progress.add(1, 0)
    settle()

    assert seen == [Progress(1, 1)]
    assert "boom" in caplog.text


def test_an_estimate_that_was_too_high_is_corrected_at_the_end() -> None:
    """A handler in current mode hears that everything has come, though less came than was estimated."""
    progress, seen = TransferProgress(), []
    progress.watch(seen.append, "current")

    progress.add(10, 90)
    progress.add(20, 0)
    settle()

    assert [one.fraction for one in seen] == [0.1, 1.0]
    assert not progress.is_watched
