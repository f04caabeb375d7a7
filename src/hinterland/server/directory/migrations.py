"""The tables of the directory, version by version; a file is brought forward when it is opened."""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS"]

_VERSION_1: Final = """
CREATE TABLE users(number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, is_admin INTEGER NOT NULL,
    status TEXT NOT NULL CHECK(status IN ('active', 'suspended')), created_s INTEGER NOT NULL);
CREATE TABLE former_users(identity TEXT PRIMARY KEY, removed_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts(provider TEXT NOT NULL, provider_id TEXT NOT NULL,
    identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE,
    password_hash TEXT, is_confirmed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(provider, provider_id)) WITHOUT ROWID;
CREATE INDEX accounts_identity ON accounts(identity);
CREATE TABLE metadata(identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE, key TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY(identity, key)) WITHOUT ROWID;
CREATE INDEX metadata_value ON metadata(key, value);
CREATE TABLE roles(identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE, role TEXT NOT NULL,
    PRIMARY KEY(identity, role)) WITHOUT ROWID;
CREATE INDEX roles_role ON roles(role);

CREATE TABLE logins(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE,
    app TEXT NOT NULL, device TEXT NOT NULL, created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL);
CREATE INDEX logins_identity ON logins(identity);
CREATE TABLE refresh_tokens(hash BLOB PRIMARY KEY, login TEXT NOT NULL REFERENCES logins(id) ON DELETE CASCADE,
    parent BLOB, superseded_s INTEGER) WITHOUT ROWID;
CREATE INDEX refresh_tokens_login ON refresh_tokens(login);
CREATE INDEX refresh_tokens_parent ON refresh_tokens(parent);
CREATE TABLE single_use(hash BLOB PRIMARY KEY, purpose TEXT NOT NULL,
    identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE,
    provider_id TEXT NOT NULL, expires_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX single_use_account ON single_use(purpose, provider_id);
CREATE INDEX single_use_identity ON single_use(identity);
CREATE TABLE api_keys(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL UNIQUE,
    identity TEXT NOT NULL REFERENCES users(identity) ON DELETE CASCADE,
    name TEXT NOT NULL, created_s INTEGER NOT NULL, is_disabled INTEGER NOT NULL, UNIQUE(identity, name));

CREATE TABLE grants(path TEXT NOT NULL, kind TEXT NOT NULL CHECK(kind IN ('user', 'role', 'everyone')),
    grantee TEXT NOT NULL, level INTEGER NOT NULL, PRIMARY KEY(path, kind, grantee)) WITHOUT ROWID;
CREATE INDEX grants_grantee ON grants(kind, grantee);
CREATE TABLE offers(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, secret_hash BLOB NOT NULL, path TEXT NOT NULL,
    level INTEGER NOT NULL, created_by TEXT NOT NULL, created_s INTEGER NOT NULL, expires_s INTEGER);
CREATE INDEX offers_created_by ON offers(created_by);
CREATE INDEX offers_path ON offers(path);

CREATE TABLE realms(path TEXT PRIMARY KEY, owner TEXT, kind TEXT NOT NULL CHECK(kind IN ('full', 'query')),
    created_s INTEGER NOT NULL, can_modify_schema INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
CREATE INDEX realms_owner ON realms(owner) WHERE owner IS NOT NULL;

CREATE TABLE audit(number INTEGER PRIMARY KEY AUTOINCREMENT, at_s INTEGER NOT NULL, actor TEXT NOT NULL,
    action TEXT NOT NULL, subject TEXT NOT NULL, details TEXT NOT NULL);
CREATE INDEX audit_subject ON audit(subject);
CREATE INDEX audit_actor ON audit(actor);
CREATE INDEX audit_at ON audit(at_s);

CREATE TABLE changes(number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL);

-- What a new server lets everyone do; administrators narrow it before they let the world in.
INSERT INTO grants VALUES('/shared/*', 'everyone', '*', 2);
"""

MIGRATIONS: Final = (_VERSION_1,)
"""Step n makes a file of version n one of version n+1. Steps that have been released never change."""
