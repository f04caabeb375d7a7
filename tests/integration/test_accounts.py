"""Ways to log in, end to end: issuers, mails, links between accounts, API keys, limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.integration.oidc_issuer import Issuer
from tests.integration.server_client import HttpAnswer, RawClient, http

from hinterland.errors import AuthenticationError, ConfigurationError
from hinterland.server import Config, ObjectServer, providers
from hinterland.server.mail import Mail
from hinterland.server.providers import LoginRequest, Verified, issuer_keys
from hinterland.server.rate_limits import RateLimits

DEADLINE_S = 30


class Mailbox:
    """A mail sender that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: SimpleQueue[Mail] = SimpleQueue()

    async def send(self, mail: Mail) -> None:
        self.mails.put(mail)

    def take(self) -> Mail:
        """Return the oldest mail, once there is one."""
        return self.mails.get(timeout=DEADLINE_S)


def token_in(mail: Mail) -> str:
    found = re.search(r"token=([\w-]+)", mail.text)
    assert found is not None
    return found[1]


class Served:
    """A server and ways to talk to it."""

    def __init__(self, server: ObjectServer) -> None:
        self.server = server
        self.url = server.url

    def log_in(self, provider: str, data: str = "", **info: object) -> HttpAnswer:
        return http("POST", self.url + "/auth", {"provider": provider, "data": data, "user_info": info})

    def account(self, action: str, name: str = "", **data: object) -> HttpAnswer:
        body = {"provider_id": name, "data": {"action": action, **data}}
        return http("POST", self.url + "/auth/password/updateAccount", body)


def identity(answer: HttpAnswer) -> str:
    assert answer.status == 200, answer.content
    return str(answer.content["access_token"]["token_data"]["identity"])


def access(answer: HttpAnswer) -> str:
    assert answer.status == 200, answer.content
    return str(answer.content["access_token"]["token"])


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[ObjectServer] = []

    def start(**options: Any) -> Served:
        server = ObjectServer(Config(data=tmp_path, port=0, durable=False, **options)).start()
        running.append(server)
        return Served(server)

    yield start
    for server in running:
        server.stop()


def test_an_openid_issuer_logs_users_in_and_rotates_its_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One user per subject; with the key goes what it signed; two issuers do not mix."""
    monkeypatch.setattr(issuer_keys, "RETRY_INTERVAL_S", 0.0)
    with Issuer() as first, Issuer() as second:
        served = serve(
            auth=[
                providers.OpenID(first.url, "my-app", name="first"),
                providers.OpenID(second.url, "my-app", name="second"),
            ]
        )
        old = first.token(email="a@x.org", email_verified=True)
        ada = served.log_in("first", old)
        assert identity(served.log_in("first", first.token())) == identity(ada)
        assert identity(served.log_in("second", second.token())) != identity(ada)
        for provider, token in (("first", second.token()), ("second", old)):
            refused = served.log_in(provider, token)
            assert (refused.status, refused.content["code"]) == (401, 611)
        with RawClient(served.url, access(ada)) as client:
            client.join("/~/tasks")
        me = http("GET", f"{served.url}/auth/users/{identity(ada)}", token=access(ada)).content
        assert me["metadata"] == [{"key": "email", "value": "a@x.org"}]
        first.rotate("ES256")
        assert identity(served.log_in("first", first.token())) == identity(ada)
        assert served.log_in("first", old).status == 401
        first.is_broken = True
        first.rotate("RS256")
        assert identity(served.log_in("second", second.token()))


def test_the_original_sdks_show_tokens_of_any_configured_issuer(serve: Serve) -> None:
    """`custom-token` and `oauth2-google` know no provider names, so the token's issuer chooses (wire.md §8.5)."""
    with Issuer() as one, Issuer() as two:
        served = serve(
            auth=[providers.OpenID(one.url, "my-app", name="one"), providers.OpenID(two.url, "my-app", name="two")]
        )
        login = served.url + "/api/client/v2.0/app/x/auth/providers/custom-token/login"
        found = {http("POST", login, {"token": each.token()}).content["user_id"] for each in (one, two)}
        assert len(found) == 2
        for token in (one.token(iss="https://other.example"), "nonsense", ""):
            assert http("POST", login, {"token": token}).content["error_code"] == "AuthProviderNotFound"


def test_a_token_may_dictate_the_identity_and_who_is_admin(serve: Serve) -> None:
    """Also later on, except that the last admin stays one; nobody gets another's identity that way."""
    with Issuer() as issuer:
        claims = providers.Claims(identity="userId", admin="isAdmin")
        served = serve(auth=[providers.OpenID(issuer.url, "my-app", claims=claims), providers.Nickname()])
        boss = served.log_in("openid", issuer.token(sub="1", userId="boss", isAdmin=True))
        assert identity(boss) == "boss"
        assert boss.content["access_token"]["token_data"]["is_admin"] is True
        taken = served.log_in("openid", issuer.token(sub="2", userId="boss"))
        assert (taken.status, taken.content["code"]) == (409, 613)
        still = served.log_in("openid", issuer.token(sub="1", userId="boss", isAdmin=False))
        assert still.content["access_token"]["token_data"]["is_admin"] is True
        served.log_in("openid", issuer.token(sub="3", userId="vice", isAdmin=True))
        demoted = served.log_in("openid", issuer.token(sub="1", userId="boss", isAdmin=False))
        assert demoted.content["access_token"]["token_data"]["is_admin"] is False
        for bad in ("../x", "shared", "__admin", "", "a/b", "a\0"):
            assert served.log_in("openid", issuer.token(sub="4", userId=bad)).status == 401


def test_resetting_a_forgotten_password(serve: Serve) -> None:
    """By a link that works once; all logins end; asking tells nobody whether there is an account."""
    mailbox = Mailbox()
    served = serve(auth=[providers.Password(names="email")], mail=mailbox, public_url="https://sync.example")
    made = served.log_in("password", "Ada@X.org", password="old", register=True)
    known, unknown = served.account("reset_password", "ada@x.org"), served.account("reset_password", "bob@x.org")
    assert (known.status, known.content) == (unknown.status, unknown.content) == (204, None)
    mail = mailbox.take()
    assert mail.to == "ada@x.org"
    assert "https://sync.example/reset-password?token=" in mail.text
    token = token_in(mail)
    assert served.account("complete_reset", token=token, new_password="").status == 400
    assert served.account("complete_reset", token=token, new_password="new").status == 204
    assert (
        served.account("complete_reset", token=token, new_password="newer").content["error_code"]
        == "UserpassTokenInvalid"
    )
    assert served.log_in("password", "ada@x.org", password="old").status == 401
    assert identity(served.log_in("password", "ada@x.org", password="new")) == identity(made)
    refresh = made.content["refresh_token"]["token"]
    assert served.log_in("realm", refresh).status == 401
    assert mailbox.mails.empty()


def test_a_newer_link_replaces_the_older(serve: Serve) -> None:
    """And a token for one purpose is good for no other."""
    mailbox = Mailbox()
    served = serve(auth=[providers.Password(names="email")], mail=mailbox, public_url="https://sync.example")
    served.log_in("password", "ada@x.org", password="old", register=True)
    served.account("reset_password", "ada@x.org")
    first = token_in(mailbox.take())
    served.account("reset_password", "ada@x.org")
    second = token_in(mailbox.take())
    assert served.account("confirm_email", token=second).status == 400
    assert served.account("complete_reset", token=first, new_password="x").status == 400
    assert served.account("complete_reset", token=second, new_password="x").status == 204


def test_an_address_must_be_confirmed_where_that_is_asked_for(serve: Serve) -> None:
    """Registering looks the same for a new and a known address; nobody gets in before confirming."""
    mailbox = Mailbox()
    auth = [providers.Password(names="email", confirm_email=True)]
    served = serve(auth=auth, mail=mailbox, public_url="https://sync.example")
    first = served.log_in("password", "ada@x.org", password="secret", register=True)
    mail = mailbox.take()
    assert "confirm-email" in mail.text
    assert served.log_in("password", "ada@x.org", password="wrong").content["error_code"] == "InvalidPassword"
    unconfirmed = served.log_in("password", "ada@x.org", password="secret")
    assert (unconfirmed.status, unconfirmed.content["title"]) == (401, "The e-mail address is not confirmed")
    register = served.url + "/api/client/v2.0/app/x/auth/providers/local-userpass/register"
    again = http("POST", register, {"email": "ada@x.org", "password": "guess"})
    fresh = http("POST", register, {"email": "eve@x.org", "password": "guess"})
    assert (again.status, again.content) == (fresh.status, fresh.content) == (201, {})
    subjects = {one.to: one.subject for one in (mailbox.take(), mailbox.take())}
    assert subjects == {"ada@x.org": "You have an account already", "eve@x.org": "Confirm your e-mail address"}
    assert served.account("confirm_email", token=token_in(mail)).status == 204
    assert served.account("confirm_email", token=token_in(mail)).status == 400
    assert identity(served.log_in("password", "ada@x.org", password="secret"))
    assert first.status == 401


def test_the_pages_that_links_lead_to(serve: Serve) -> None:
    """Opening a link changes nothing; sending the form does. What is in the URL cannot become markup."""
    import urllib.error
    import urllib.parse
    import urllib.request

    mailbox = Mailbox()
    served = serve(auth=[providers.Password(names="email")], mail=mailbox, public_url="https://sync.example")

    def page(path: str, **form: str) -> tuple[int, str]:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(served.url + path, data, timeout=DEADLINE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    served.log_in("password", "ada@x.org", password="old", register=True)
    assert page("/reset-password", email="ada@x.org")[0] == 200
    token = token_in(mailbox.take())
    status, text = page(f"/reset-password?token={token}")
    assert status == 200
    assert token in text
    assert page("/reset-password", token=token, password="new")[0] == 200
    assert page("/reset-password", token=token, password="newer")[0] == 400
    assert identity(served.log_in("password", "ada@x.org", password="new"))
    served.account("request_email_confirmation", "ada@x.org")
    assert page("/confirm-email?token=x")[0] == 200
    assert page("/confirm-email", token="x")[0] == 400
    evil = urllib.parse.quote('"><script>alert(1)</script>')
    for path in ("reset-password", "confirm-email"):
        assert "<script>" not in page(f"/{path}?token={evil}")[1]


def test_without_mail_a_reset_says_so(serve: Serve) -> None:
    """801, the original's code for a server that is not configured for it."""
    answer = serve().account("reset_password", "ada@x.org")
    assert (answer.status, answer.content["code"]) == (501, 801)


def test_an_anonymous_user_becomes_somebody(serve: Serve) -> None:
    """Identity and realms stay; the account logs in as the same user; others' accounts cannot be taken."""
    with Issuer() as issuer:
        auth = [providers.Password(), providers.Anonymous(), providers.OpenID(issuer.url, "my-app")]
        served = serve(auth=auth)
        nobody = served.log_in("anonymous")
        with RawClient(served.url, access(nobody)) as client:
            client.join("/~/drafts")
        link = served.url + "/auth/link"
        body: dict[str, object] = {"provider": "openid", "data": issuer.token()}
        linked = http("POST", link, body, token=access(nobody))
        assert linked.status == 200, linked.content
        assert {one["provider"] for one in linked.content["accounts"]} == {"anonymous", "openid"}
        assert http("POST", link, body, token=access(nobody)).status == 200
        assert identity(served.log_in("openid", issuer.token())) == identity(nobody)
        body = {"provider": "password", "data": "ada", "user_info": {"password": "p", "register": True}}
        assert http("POST", link, body, token=access(nobody)).status == 200
        assert identity(served.log_in("password", "ada", password="p")) == identity(nobody)
        other = served.log_in("anonymous")
        body = {"provider": "password", "data": "ada", "user_info": {"password": "p"}}
        taken = http("POST", link, body, token=access(other))
        assert (taken.status, taken.content["code"]) == (409, 613)
        body = {"provider": "openid", "data": issuer.token()}
        assert http("POST", link, body, token=access(other)).status == 409
        assert http("POST", link, body).status == 401


def test_the_original_sdks_register_first_and_link_then(serve: Serve) -> None:
    """An account that nobody used moves to the user who knows its password (wire.md §8.4)."""
    served = serve(development=True)
    app = served.url + "/api/client/v2.0/app/x/auth/providers"
    nobody = http("POST", app + "/anon-user/login", {}).content
    assert http("POST", app + "/local-userpass/register", {"email": "a@x.org", "password": "p"}).status == 201
    credentials = {"username": "a@x.org", "password": "p"}
    wrong = http(
        "POST", app + "/local-userpass/login?link=true", {**credentials, "password": "q"}, token=nobody["access_token"]
    )
    assert wrong.status == 401
    linked = http("POST", app + "/local-userpass/login?link=true", credentials, token=nobody["access_token"])
    assert linked.content["access_token"]
    again = http("POST", app + "/local-userpass/login", credentials).content
    assert again["user_id"] == nobody["user_id"]
    profile = http("GET", served.url + "/api/client/v2.0/auth/profile", token=again["access_token"]).content
    assert {one["provider_type"] for one in profile["identities"]} == {"anon-user", "local-userpass"}
    assert http("DELETE", served.url + "/api/client/v2.0/auth/delete", token=again["access_token"]).status == 204
    assert http("POST", app + "/local-userpass/login", credentials).status == 401


def test_anonymous_users_can_be_found_again_by_a_secret(serve: Serve) -> None:
    """Which the server does not show to anybody."""
    served = serve(development=True)
    secret = "a secret of this device"
    first = served.log_in("anonymous", secret)
    assert identity(served.log_in("anonymous", secret)) == identity(first)
    assert identity(served.log_in("anonymous")) != identity(first)
    assert served.log_in("anonymous", "short").status == 401
    me = http("GET", f"{served.url}/auth/users/{identity(first)}", token=access(first))
    assert secret not in str(me.content)


def test_without_development_nobody_comes_in_without_a_secret(serve: Serve) -> None:
    """Anonymous users and nicknames are off by default."""
    served = serve()
    for provider in ("anonymous", "nickname"):
        assert served.log_in(provider, "ada").content["error_code"] == "AuthProviderNotFound"


def test_what_lets_anybody_in_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A warning for each such provider."""
    serve(development=True)
    found = [one.getMessage() for one in caplog.records if "anybody can log in" in one.getMessage()]
    assert len(found) == 2


def test_api_keys_log_programs_in(serve: Serve) -> None:
    """As the user who made them, until they are disabled or deleted; the secret is shown once."""
    served = serve()
    ada = served.log_in("password", "ada", password="p", register=True)
    keys = served.url + "/auth/api_keys"
    made = http("POST", keys, {"name": "robot"}, token=access(ada))
    assert made.status == 201
    secret, key = made.content["key"], made.content["id"]
    assert http("POST", keys, {"name": "robot"}, token=access(ada)).status == 409
    assert http("GET", keys, token=access(ada)).content["keys"] == [
        {"id": key, "name": "robot", "created": made.content["created"], "disabled": False}
    ]
    robot = served.log_in("api-key", secret)
    assert identity(robot) == identity(ada)
    assert served.log_in("api-key", secret + "x").status == 401
    eve = served.log_in("password", "eve", password="p", register=True)
    assert http("PATCH", f"{keys}/{key}", {"disabled": True}, token=access(eve)).status == 404
    assert http("PATCH", f"{keys}/{key}", {"disabled": True}, token=access(ada)).status == 200
    assert served.log_in("api-key", secret).status == 401
    http("PATCH", f"{keys}/{key}", {"disabled": False}, token=access(ada))
    assert served.log_in("api-key", secret).status == 200
    assert http("DELETE", f"{keys}/{key}", token=access(ada)).status == 204
    assert served.log_in("api-key", secret).status == 401


def test_api_keys_of_the_original_sdks(serve: Serve) -> None:
    """With the refresh token, at the places of wire.md §8.4."""
    served = serve()
    base = served.url + "/api/client/v2.0"
    app = base + "/app/x/auth/providers"
    http("POST", app + "/local-userpass/register", {"email": "a@x.org", "password": "p"})
    login = http("POST", app + "/local-userpass/login", {"username": "a@x.org", "password": "p"}).content
    keys, token = base + "/auth/api_keys", login["refresh_token"]
    made = http("POST", keys, {"name": "k"}, token=token).content
    assert re.fullmatch("[0-9a-f]{24}", made["_id"])
    assert http("GET", keys, token=token).content == [{"_id": made["_id"], "name": "k", "disabled": False}]
    assert http("GET", f"{keys}/{made['_id']}", token=token).content["name"] == "k"
    assert http("POST", app + "/api-key/login", {"key": made["key"]}).content["user_id"] == login["user_id"]
    assert http("PUT", f"{keys}/{made['_id']}/disable", token=token).status == 204
    assert http("POST", app + "/api-key/login", {"key": made["key"]}).status == 401
    assert http("PUT", f"{keys}/{made['_id']}/enable", token=token).status == 204
    assert http("POST", app + "/api-key/login", {"key": made["key"]}).status == 200
    assert http("DELETE", f"{keys}/{made['_id']}", token=token).status == 204
    assert http("GET", f"{keys}/{made['_id']}", token=token).content["error_code"] == "APIKeyNotFound"
    assert http("GET", keys, token=login["access_token"]).status == 401


def test_a_function_of_the_operator_logs_in(serve: Serve) -> None:
    """With the whole of `user_info`; one that fails costs only its own request."""

    def check(request: LoginRequest) -> Verified:
        if request.data == "crash":
            raise ZeroDivisionError
        if request.info.get("colour") != "blue":
            raise AuthenticationError("wrong colour")
        return Verified("u:" + request.data, metadata={"team": "blue"})

    served = serve(auth=[providers.Function("colours", check), providers.Function("custom-function", check)])
    assert served.log_in("colours", "x", colour="red").content["detail"] == "wrong colour"
    assert identity(served.log_in("colours", "x", colour="blue"))
    assert served.log_in("colours", "crash").status == 500
    login = served.url + "/api/client/v2.0/app/x/auth/providers/custom-function/login"
    assert http("POST", login, {"colour": "blue", "options": {"device": {}}}).status == 200


def test_wrong_passwords_are_limited_per_account_and_address(serve: Serve) -> None:
    """For unknown accounts just as for known ones; a right password before the limit forgives."""
    limits = RateLimits(login_account_address="3/hour")
    served = serve(rate_limits=limits)
    served.log_in("password", "ada", password="p", register=True)
    for name in ("ada", "nobody"):
        found = [served.log_in("password", name, password="x") for _ in range(4)]
        assert [one.status for one in found] == [401, 401, 401, 429]
        assert int(found[3].headers["retry-after"]) > 0
    assert served.log_in("password", "ada", password="p").status == 429
    served.log_in("password", "eve", password="p", register=True)
    for _ in range(3):
        for _ in range(2):
            assert served.log_in("password", "eve", password="x").status == 401
        assert served.log_in("password", "eve", password="p").status == 200


def test_mails_and_new_users_are_limited(serve: Serve) -> None:
    """Per account, whether it exists or not, and per address."""
    limits = RateLimits(
        mail_account="2/hour", mail_address="5/hour", new_users_address="3/hour", login_address="2/hour"
    )
    served = serve(rate_limits=limits, mail=Mailbox(), development=True)
    for name in ("a@x.org", "b@x.org"):
        assert [served.account("reset_password", name).status for _ in range(3)] == [204, 204, 429]
    assert [served.account("reset_password", f"{n}@x.org").status for n in range(2)] == [429, 429]
    assert [served.log_in("anonymous").status for _ in range(4)] == [200, 200, 200, 429]
    assert [served.log_in("api-key", "guess").status for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auth": [providers.Password(names="email", confirm_email=True)]}, "needs mail"),
        ({"mail": Mailbox()}, "public_url"),
        ({"auth": [providers.Function("realm", lambda request: "x")]}, "realm"),
        ({"auth": [providers.Password(), providers.Password()]}, "same name"),
    ],
)
def test_configurations_that_cannot_work_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Before anything is served."""
    with pytest.raises(ConfigurationError, match=message):
        Config(data=tmp_path, **options)


def test_malformed_limits_are_refused() -> None:
    """At start."""
    with pytest.raises(ConfigurationError, match="login_account"):
        RateLimits(login_account="often")
