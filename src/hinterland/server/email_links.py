"""Links that work once, sent by mail: to reset a password, to confirm an address.

Whether there is such an account is looked up behind the answer's back, so that neither the answer nor
its time tells.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import quote

from hinterland.server.config import Config
from hinterland.server.directory import Directory, SingleUse
from hinterland.server.mail import Mail, MailSender, Outbox
from hinterland.server.problems import INVALID_EMAIL_TOKEN, ApiError

__all__ = ["CONFIRM", "RESET", "EmailLinks", "Purpose", "unusable_link"]

Purpose = Literal["reset", "confirm"]

RESET: Final = "reset"
CONFIRM: Final = "confirm"

_PASSWORD: Final = "password"  # noqa: S105 - the name of a provider
_TTL_S: Final[dict[Purpose, int]] = {RESET: 3600, CONFIRM: 3 * 86_400}
_PAGES: Final[dict[Purpose, str]] = {RESET: "reset-password", CONFIRM: "confirm-email"}


class EmailLinks:
    """Sends links and takes their tokens back. For use on one event loop.

    Args:
        config: What mails say, and where links lead.
        sender: Sends the mails.
        directory: Where accounts and the tokens' hashes are.
        clock: Gives Unix time in seconds.
    """

    def __init__(self, config: Config, sender: MailSender, directory: Directory, clock: Callable[[], float]) -> None:
        self._config = config
        self._directory = directory
        self._clock = clock
        self._outbox = Outbox(sender)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop sending mails."""
        for task in list(self._tasks):
            task.cancel()
        await self._outbox.close()

    def send(self, purpose: Purpose, name: str) -> None:
        """Send a link to an account, if there is one; an earlier link stops working."""
        self._do_later(self._send(purpose, name))

    def send_exists(self, name: str) -> None:
        """Tell somebody who registers once more that there is an account already."""
        texts = self._config.mail_texts
        self._put(name, texts.exists_subject, texts.exists_text, f"{self._config.mail_url}/{_PAGES[RESET]}")

    async def take(self, purpose: Purpose, token: str) -> SingleUse:
        """Use up the token of a link.

        Raises:
            ApiError: It is not valid.
        """
        take = self._directory.logins.take_single_use
        used = await asyncio.to_thread(take, _hash(token), purpose, now_s=int(self._clock()))
        if used is None:
            raise unusable_link()
        return used

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, purpose: Purpose, name: str) -> None:
        account = await asyncio.to_thread(self._directory.users.account, _PASSWORD, name)
        if account is None or (purpose == CONFIRM and account.is_confirmed):
            return
        token = secrets.token_urlsafe(32)
        now_s = int(self._clock())
        kept = SingleUse(purpose, account.user, name, now_s + _TTL_S[purpose])
        await asyncio.to_thread(self._directory.logins.add_single_use, _hash(token), kept, now_s=now_s)
        # The original's SDKs want a `tokenId` as well (wire.md §8.4); nothing is decided by it.
        query = f"token={quote(token)}&tokenId={_hash(token).hex()[:24]}"
        link = f"{self._config.mail_url}/{_PAGES[purpose]}?{query}"
        texts = self._config.mail_texts
        if purpose == RESET:
            self._put(name, texts.reset_subject, texts.reset_text, link)
        else:
            self._put(name, texts.confirm_subject, texts.confirm_text, link)

    def _put(self, name: str, subject: str, text: str, link: str) -> None:
        self._outbox.put(Mail(name, subject, text.replace("{link}", link).replace("{email}", name)))


def unusable_link() -> ApiError:
    """Return the refusal of a token that is not valid."""
    return ApiError(INVALID_EMAIL_TOKEN, "the link is not valid: it was used, has expired, or was cut off")


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
