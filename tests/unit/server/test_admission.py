"""Few bootstraps at the same time; those who wait are served in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import pytest
from tests.unit.protocol.test_flexible_server_session import Script

from hinterland.protocol.messages import Mark, QueryChange, encode
from hinterland.protocol.server_flexible_session import Bootstrap, BootstrapPart, FlexibleSession, ViewChange
from hinterland.server.admission import Admission, Waiting

PART = BootstrapPart(b"x", 1, 0, 1.0)


class Desk:
    """Sessions that ask for other views, and what was let through: numbers of sessions and kinds of jobs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sessions: int, sessions_max: int) -> None:
        self.timers: list[Callable[[], object]] = []
        self.loop = loop
        self.admission = Admission(sessions_max, self.submit, later=self.later)
        self.scripts = [Script() for _ in range(sessions)]
        self.sessions: list[FlexibleSession] = [script.syncing() for script in self.scripts]
        self.done: list[tuple[int, str]] = []
        self.asked: list[deque[int]] = [deque() for _ in range(sessions)]
        self.versions = count(3)

    def later(self, delay_s: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        """Keep a timer for the test to fire."""
        self.timers.append(act)
        return self.loop.call_later(delay_s, act)

    def submit(self, one: Waiting) -> None:
        """Do as the realms do."""
        if self.admission.admits(one):
            session = cast("FlexibleSession", one.job.session)
            self.done.append((self.sessions.index(session), type(one.job).__name__))

    def carry_out(self, number: int) -> None:
        """Submit what a session requests."""
        for request in self.scripts[number].requests():
            self.submit(Waiting(cast("Any", None), cast("Any", request), cast("Any", None)))

    def ask(self, number: int) -> None:
        """Let a session ask for another view."""
        version = next(self.versions)
        self.asked[number].append(version)
        self.scripts[number].send(encode(QueryChange(1, version, "{}")))
        self.carry_out(number)

    def answer(self, number: int, parts: int) -> None:
        """Give a session its view; a bootstrap is sent up to where the client has to read."""
        version = self.asked[number].popleft()
        bootstrap = Bootstrap(version, 6, 555, 4, [PART] * parts) if parts else None
        self.sessions[number].view_changed(ViewChange(version, bootstrap, problem="" if parts else "no"))
        self.admission.answered(self.sessions[number])

    def read(self, number: int) -> None:
        """Let the client read all that there is."""
        assert self.scripts[number].heads
        self.carry_out(number)

    def views(self) -> list[int]:
        """Return the sessions whose views were changed, in order."""
        return [number for number, kind in self.done if kind == "ChangeView"]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: timers are fired by the tests."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_those_who_come_later_wait_in_order(loop: asyncio.AbstractEventLoop) -> None:
    """A place is free when the last part of a bootstrap was sent, or there is none to send."""
    desk = Desk(loop, sessions=5, sessions_max=2)
    for number in range(5):
        desk.ask(number)
    assert desk.views() == [0, 1]
    desk.answer(1, parts=0)
    assert desk.views() == [0, 1, 2]
    desk.answer(0, parts=3)
    assert desk.views() == [0, 1, 2]
    desk.read(0)
    assert desk.views() == [0, 1, 2, 3]
    desk.answer(2, parts=1)
    desk.read(2)
    assert desk.views() == [0, 1, 2, 3, 4]


def test_what_a_waiting_session_says_waits_behind_its_queries(loop: asyncio.AbstractEventLoop) -> None:
    """Its jobs stay in order; those of sessions that are served, or want no other view, do not wait."""
    desk = Desk(loop, sessions=3, sessions_max=1)
    desk.ask(0)
    desk.ask(1)
    desk.ask(1)
    for number in range(3):
        desk.scripts[number].send(encode(Mark(1, 1)))
        desk.carry_out(number)
    assert desk.done == [(0, "ChangeView"), (0, "ReadView"), (2, "ReadView")]
    desk.ask(0)  # a second set of the session that is served
    assert desk.done[3:] == [(0, "ChangeView")]
    desk.answer(0, parts=0)
    assert desk.done[4:] == []
    desk.answer(0, parts=0)
    assert desk.done[4:] == [(1, "ChangeView"), (1, "ChangeView"), (1, "ReadView")]


def test_sessions_that_end_make_room(loop: asyncio.AbstractEventLoop) -> None:
    """Those that waited are forgotten with their jobs."""
    desk = Desk(loop, sessions=3, sessions_max=1)
    for number in range(3):
        desk.ask(number)
    assert [type(one.job).__name__ for one in desk.admission.leave(desk.sessions[1])] == ["ChangeView"]
    assert desk.admission.leave(desk.sessions[0]) == []
    assert desk.views() == [0, 2]


def test_a_slow_reader_keeps_nobody_waiting_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    """After a minute its place is given to the next; it goes on reading all the same."""
    desk = Desk(loop, sessions=2, sessions_max=1)
    desk.ask(0)
    desk.ask(1)
    desk.answer(0, parts=5)
    assert desk.views() == [0]
    (expire,) = desk.timers
    expire()
    assert desk.views() == [0, 1]
    desk.read(0)
    assert (0, "ReadView") in desk.done
