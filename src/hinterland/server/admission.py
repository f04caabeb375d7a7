"""Who is served a new view now, and who waits: so that many clients at once do not cost memory and disk all at once.

A bootstrap is made in one piece and then sent as fast as its client reads. Few are made and sent at the same
time; sessions whose queries change meanwhile wait in order. What such a session says later waits behind that,
because each of its messages is answered by what those before it have brought about.

Source: spec flx.md §2.10, §6.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.protocol.server_requests import ChangeView

if TYPE_CHECKING:
    from hinterland.server.connection import ClientConnection
    from hinterland.server.realm_file import Job
    from hinterland.server.realms import LiveRealm

__all__ = ["Admission", "Waiting"]

PATIENCE_S: Final = 60.0
"""A client that takes longer to read its bootstrap goes on reading, but no longer keeps others waiting."""


class Waiting(NamedTuple):
    """A job that waits, as `Realms.submit` takes it."""

    realm: LiveRealm
    job: Job
    connection: ClientConnection


Timer: TypeAlias = Callable[[float, Callable[[], object]], asyncio.TimerHandle]


def _later(delay_s: float, act: Callable[[], object]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay_s, act)


class Admission:
    """See the module. Everything runs on the event loop.

    Args:
        sessions_max: How many are served at the same time.
        submit: Takes the jobs of a session whose turn it is.
        later: Calls something after a while.
    """

    def __init__(self, sessions_max: int, submit: Callable[[Waiting], object], *, later: Timer = _later) -> None:
        self._sessions_max = sessions_max
        self._submit = submit
        self._later = later
        self._served: dict[FlexibleSession, asyncio.TimerHandle | None] = {}
        self._waiting: dict[FlexibleSession, list[Waiting]] = {}

    def admits(self, one: Waiting) -> bool:
        """Return whether a job can be carried out now; otherwise it is kept, and submitted later."""
        session = one.job.session
        if not isinstance(session, FlexibleSession):
            return True
        queue = self._waiting.get(session)
        if queue is not None:
            queue.append(one)
            return False
        if session in self._served:
            if not session.is_changing_view:
                self._release(session)
            return True
        if type(one.job) is not ChangeView:
            return True
        if len(self._served) < self._sessions_max:
            self._served[session] = None
            return True
        self._waiting[session] = [one]
        return False

    def answered(self, session: FlexibleSession) -> None:
        """A change of the session's view was carried out; perhaps there is a bootstrap to send."""
        if session not in self._served:
            return
        if not session.is_changing_view:
            self._release(session)
        elif self._served[session] is None:
            self._served[session] = self._later(PATIENCE_S, lambda: self._release(session))

    def leave(self, session: FlexibleSession) -> list[Waiting]:
        """The session has ended; return its jobs that will not be carried out."""
        dropped = self._waiting.pop(session, [])
        self._release(session)
        return dropped

    def _release(self, session: FlexibleSession) -> None:
        if session not in self._served:
            return
        timer = self._served.pop(session)
        if timer is not None:
            timer.cancel()
        while self._waiting and len(self._served) < self._sessions_max:
            following = next(iter(self._waiting))
            jobs = self._waiting.pop(following)
            self._served[following] = None
            for one in jobs:
                self._submit(one)
