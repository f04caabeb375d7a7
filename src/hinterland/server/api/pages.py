"""The two pages that links in mails lead to: choose a new password, confirm an address.

Opening a link changes nothing, since mail scanners open links too; pressing the button does. The pages
have no script, and forms can only be sent to this server.

Source: spec features.md §5.2 (`/confirm-email`, `/reset-password`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from hinterland.server.passwords import Passwords
from hinterland.server.problems import ApiError

__all__ = ["page_routes"]

FORM_BYTES_MAX: Final = 65_536

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>body{{font:16px sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem;margin:.5rem 0;width:100%;box-sizing:border-box}}</style>
<h1>{title}</h1>
{content}
"""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_RESET: Final = "Choose a new password"
_CONFIRM: Final = "Confirm your e-mail address"
_FORGOT: Final = "Reset your password"


def page_routes(passwords: Passwords) -> Sequence[Route]:
    """Return the routes."""
    pages = _Pages(passwords)
    return [
        Route("/reset-password", pages.reset_form, methods=["GET"]),
        Route("/reset-password", pages.reset, methods=["POST"]),
        Route("/confirm-email", pages.confirm_form, methods=["GET"]),
        Route("/confirm-email", pages.confirm, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def reset_form(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is None:
            return _page(
                _FORGOT,
                '<form method="post"><label>E-mail address<input type="email" name="email" required></label>'
                "<button>Send me a link</button></form>",
            )
        return _page(
            _RESET,
            f'<form method="post" action="reset-password"><input type="hidden" name="token" value="{escape(token)}">'
            '<label>New password<input type="password" name="password" required autocomplete="new-password"></label>'
            "<button>Save</button></form>",
        )

    async def reset(self, request: Request) -> Response:
        form = await _form(request)
        try:
            if "token" not in form:
                address = request.client.host if request.client is not None else ""
                self._passwords.request_reset(form.get("email", ""), address)
                return _page(_FORGOT, "<p>If there is such an account, a mail is on its way.</p>")
            await self._passwords.complete_reset(form["token"], form.get("password", ""))
        except ApiError as error:
            return _refused(_RESET, error)
        return _page(_RESET, "<p>Your password has been changed. You can log in with it now.</p>")

    async def confirm_form(self, request: Request) -> Response:
        token = escape(request.query_params.get("token", ""))
        return _page(
            _CONFIRM,
            f'<form method="post" action="confirm-email"><input type="hidden" name="token" value="{token}">'
            "<button>Confirm</button></form>",
        )

    async def confirm(self, request: Request) -> Response:
        form = await _form(request)
        try:
            await self._passwords.confirm(form.get("token", ""))
        except ApiError as error:
            return _refused(_CONFIRM, error)
        return _page(_CONFIRM, "<p>Thank you, your address is confirmed. You can log in now.</p>")


def _page(title: str, content: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(title=escape(title), content=content), status, _HEADERS)


def _refused(title: str, error: ApiError) -> Response:
    return _page(title, f"<p>{escape(str(error))}</p>", error.problem.status)


async def _form(request: Request) -> dict[str, str]:
    """Read a form; one that is too large or no UTF-8 has no fields."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > FORM_BYTES_MAX:
            return {}
    try:
        fields = parse_qs(raw.decode("utf-8"), max_num_fields=20, errors="strict")
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
