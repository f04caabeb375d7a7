"""A data folder of version 0.1 goes on: users, passwords, logins, tokens, realms."""

from __future__ import annotations

import sqlite3
import time
from hashlib import sha256
from pathlib import Path

import argon2
import jwt
from tests.integration.server_client import RawClient, http

from hinterland.server import Config, ObjectServer
from hinterland.server.layout import PATH_SETTING, DataDirectory
from hinterland.store.store import Store

SECRET = bytes(range(32))
USERS = """
CREATE TABLE users(identity TEXT PRIMARY KEY, is_admin INTEGER NOT NULL, created_s INTEGER NOT NULL,
    is_disabled INTEGER NOT NULL DEFAULT 0);
CREATE TABLE accounts(provider TEXT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL, password TEXT,
    PRIMARY KEY(provider, name));
CREATE TABLE logins(hash BLOB PRIMARY KEY, identity TEXT NOT NULL, expires_s INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO users VALUES('0f', 1, 5, 0);
"""


def make_folder(folder: Path) -> None:
    """Write what version 0.1 wrote: an admin who is logged in, a key, two realms."""
    data = DataDirectory(folder)
    connection = sqlite3.connect(folder / "users.hldb")
    connection.executescript(USERS)
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64).hash("secret")
    connection.execute("INSERT INTO accounts VALUES('password', 'ada', '0f', ?)", (hashed,))
    expires_s = int(time.time()) + 600
    connection.execute("INSERT INTO logins VALUES(?,'0f',?)", (sha256(b"id").digest(), expires_s))
    connection.commit()
    connection.close()
    (folder / "keys" / "signing.key").write_text(SECRET.hex())
    for path in ("/0f/tasks", "/shared/" + "x" * 500):
        file = data.realm_file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        store = Store.open(file, durable=False)
        with store.begin_write() as transaction:
            transaction.set_setting(PATH_SETTING, path)
        store.close()


def token(kind: str, **claims: object) -> str:
    now_s = int(time.time())
    given = {"iss": "hinterland", "sub": "0f", "typ": kind, "iat": now_s, "exp": now_s + 600, **claims}
    return jwt.encode(given, SECRET, "HS256")


def test_everything_goes_on(tmp_path: Path) -> None:
    """Nobody has to log in again, and the operator has nothing to do; also at the second start."""
    make_folder(tmp_path)
    for _ in range(2):
        with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as server:
            body = {"provider": "password", "data": "ada", "user_info": {"password": "secret"}}
            answer = http("POST", server.url + "/auth", body)
            assert answer.status == 200
            assert answer.content["refresh_token"]["token_data"]["identity"] == "0f"
            renewed = http("POST", server.url + "/auth", {"provider": "realm", "data": token("refresh", jti="id")})
            assert renewed.status == 200
            operators = token("access", sub="__admin", adm=True)
            assert http("GET", server.url + "/auth/users", token=operators).status == 200
            with RawClient(server.url, renewed.content["access_token"]["token"]) as client:
                client.join("/~/tasks")
            listed = [realm.path for realm in server.asgi.directory.realms.page()]
            assert listed == ["/0f/tasks", "/shared/" + "x" * 500]
