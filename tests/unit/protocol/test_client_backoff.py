"""How long clients wait before they try again (wire.md §1.8)."""

from __future__ import annotations

from hinterland.protocol.client_backoff import BackoffLimits, ReconnectBackoff


def test_the_same_reason_doubles_up_to_five_minutes() -> None:
    """One second, doubled each time, at most 300 s."""
    backoff = ReconnectBackoff()

    delays = [backoff.next_delay_ms("unreachable", 0.0) for _ in range(11)]

    assert delays == [1_000 * 2**n for n in range(9)] + [300_000, 300_000]


def test_another_reason_starts_over() -> None:
    """The interval belongs to the reason of the last failure."""
    backoff = ReconnectBackoff()
    backoff.next_delay_ms("unreachable", 0.0)
    backoff.next_delay_ms("unreachable", 0.0)

    assert backoff.next_delay_ms("closed 1011", 0.0) == 1_000
    assert backoff.next_delay_ms("unreachable", 0.0) == 1_000


def test_jitter_takes_off_at_most_a_quarter() -> None:
    """Uniform between nothing and 25 %."""
    assert ReconnectBackoff().next_delay_ms("x", 0.5) == 875
    assert ReconnectBackoff().next_delay_ms("x", 0.999) > 750


def test_reset_starts_over() -> None:
    """Only an explicit nudge resets; success does not."""
    backoff = ReconnectBackoff()
    for _ in range(4):
        backoff.next_delay_ms("x", 0.0)
    backoff.reset()

    assert backoff.next_delay_ms("x", 0.0) == 1_000


def test_the_server_may_set_the_limits() -> None:
    """An error's back-off fields replace the defaults for that reason."""
    backoff = ReconnectBackoff()
    limits = BackoffLimits(5_000, 3, 20_000)

    delays = [backoff.next_delay_ms("error 229", 0.0, limits) for _ in range(4)]

    assert delays == [5_000, 15_000, 20_000, 20_000]


def test_what_needs_no_wait_waits_when_it_comes_again() -> None:
    """A server may want the client back at once, but one that keeps saying so must not be hammered."""
    backoff, at_once = ReconnectBackoff(), BackoffLimits(0, 2, 60_000)

    assert [backoff.next_delay_ms("closed", 0.0, at_once) for _ in range(4)] == [0, 1_000, 2_000, 4_000]
    backoff.reset()
    assert backoff.next_delay_ms("closed", 0.0, at_once) == 0
