"""The configuration refuses what cannot work, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from hinterland.errors import ConfigurationError
from hinterland.server import Config, providers


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": 70_000}, "port"),
        ({"workers": -1}, "workers"),
        ({"message_bytes_max": 1}, "message_bytes_max"),
        ({"idle_timeout_s": 0}, "idle_timeout_s"),
        ({"history_ttl": "soon"}, "history_ttl"),
        ({"history_ttl": "0d"}, "history_ttl"),
        ({"view_ttl": "1y"}, "view_ttl"),
        ({"subscriptions_max": 0}, "subscriptions_max"),
        ({"bootstraps_max": 0}, "bootstraps_max"),
        ({"public_url": "ws://x"}, "public_url"),
        ({"tls_key": "k.pem"}, "tls_certificate"),
        ({"auth": [providers.Anonymous(), providers.Anonymous()]}, "same name"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], words: str) -> None:
    """`ConfigurationError` names the field."""
    with pytest.raises(ConfigurationError, match=words):
        Config(**values)


def test_environment_variables_fill_in_what_is_not_given() -> None:
    """HINTERLAND_PORT and so on; a flag goes first."""
    environment = {"HINTERLAND_PORT": "81", "HINTERLAND_DURABLE": "no", "HINTERLAND_DATA": "/x"}
    config = Config.from_environment(environment, port=82, address=None)
    assert (config.port, config.durable, config.data, config.address) == (82, False, "/x", "127.0.0.1")
    with pytest.raises(ConfigurationError, match="HINTERLAND_PORT"):
        Config.from_environment({"HINTERLAND_PORT": "many"})


def test_history_ttl_in_seconds() -> None:
    """Units s, m, h, d."""
    assert Config(history_ttl="30d").history_ttl_s == 30 * 86_400
    assert Config().history_ttl_s is None
    assert Config.from_environment({"HINTERLAND_VIEW_TTL": "never"}).view_ttl_s is None


@pytest.mark.parametrize(
    "values",
    [{}, {"secret": "s", "public_key": "p"}, {"secret": "s", "algorithms": ["RS256"]},
     {"public_key": "p", "algorithms": ["HS256"]}, {"secret": "s", "algorithms": ["none"]}],
)  # fmt: skip
def test_jwt_providers_have_one_key_and_algorithms_that_fit(values: dict[str, Any]) -> None:
    """A public key used as an HMAC secret is the classic confusion."""
    with pytest.raises(ConfigurationError):
        providers.JWT(**values)
