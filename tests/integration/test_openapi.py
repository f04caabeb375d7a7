"""The HTTP API does what its OpenAPI document says: requests made up by schemathesis."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi import checks as openapi_checks
from tests.integration.server_client import RawClient, http

from hinterland.server import Config, ObjectServer
from hinterland.server.mail import Mail
from hinterland.server.rate_limits import RateLimits

EXAMPLES = 72

UNLIMITED = RateLimits(*[None] * 6)


class Nowhere:
    """A mail sender that loses everything."""

    async def send(self, mail: Mail) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    data = tmp_path_factory.mktemp("data")
    config = Config(data=data, port=0, durable=False, development=True, mail=Nowhere(), rate_limits=UNLIMITED)
    with ObjectServer(config) as running:
        yield running


@pytest.fixture(scope="module")
def schema(server: ObjectServer) -> Any:
    return schemathesis.openapi.from_url(server.url + "/openapi.json")


class Inhabitants:
    """Things that there really are on the server, which made-up requests are then about."""

    def __init__(self, server: ObjectServer, name: str) -> None:
        url, admin = server.url, server.admin_token()
        user = http("POST", url + "/auth", {"provider": "nickname", "data": name}).content
        self.tokens = {"admin": admin, "user": user["access_token"]["token"]}
        mine = self.tokens["user"]
        with RawClient(url, mine) as client:
            client.join("/~/tasks")
        body = {"realmPath": "/~/tasks", "accessLevel": "read"}
        offer = http("POST", url + "/permissions/offers", body, token=mine).content["token"]
        key = http("POST", url + "/auth/api_keys", {"name": "k"}, token=mine).content["id"]
        me = user["access_token"]["token_data"]["identity"]
        login = http("GET", f"{url}/auth/users/{me}/logins", token=mine).content["logins"][0]["id"]
        self.parameters = {
            "user": me,
            "path": f"/{me}/tasks",
            "offer": offer,
            "key": key,
            "login": login,
            "provider": "nickname",
            "provider_id": name,
        }
        self.bodies: dict[str, list[object]] = {
            "provider": ["nickname", "anonymous", "password", "api-key", "realm"],
            "data": [name, "", user["refresh_token"]["token"]],
            "realmPath": ["/~/tasks", "*", "/shared/board", f"/{me}/tasks"],
            "condition": [
                {"userId": "*"},
                {"userId": me},
                {"role": "r"},
                {"metadataKey": "nickname", "metadataValue": name},
            ],
            "token": [user["refresh_token"]["token"]],
        }

    def put_into(self, case: Any, number: int) -> None:
        """Name real things in two requests of three."""
        if number % 3 == 0:
            return
        for name in case.path_parameters or ():
            case.path_parameters[name] = self.parameters[name]
        if isinstance(case.body, dict):
            for name, values in self.bodies.items():
                if name in case.body:
                    case.body[name] = values[number % len(values)]


# What ends somebody's being there comes last.
LAST = (
    "POST /auth/revoke",
    "PATCH /auth/users/{user}",
    "DELETE /auth/users/{user}/logins/{login}",
    "DELETE /auth/users/{user}/logins",
    "DELETE /auth/users/{user}",
)


CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.mark.parametrize("who", ["admin", "user", "nobody"])
def test_every_answer_is_documented(schema: Any, server: ObjectServer, who: str) -> None:
    """No 500, no status, content type or body that the document does not have, whoever asks."""
    inhabitants = Inhabitants(server, f"user-{who}")
    headers = {} if who == "nobody" else {"Authorization": f"Bearer {inhabitants.tokens[who]}"}
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=lambda one: one.label in LAST)
    statuses: Counter[int] = Counter()
    for operation in operations:
        numbers = itertools.count()

        @settings(
            max_examples=EXAMPLES if who == "admin" else EXAMPLES // 2,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            inhabitants.put_into(case, next(numbers))
            response = case.call(headers=headers)
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        check()
    assert len(operations) >= 30
    expected = {"admin": {200, 201, 204, 400, 404}, "user": {200, 201, 204, 403}, "nobody": {200, 401}}
    assert expected[who] <= set(statuses), statuses
