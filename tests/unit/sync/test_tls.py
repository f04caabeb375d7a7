"""Whom a client trusts: authorities of its own and pinned certificates, for HTTP and for the WebSocket."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hinterland.errors import ConfigurationError, RequestRefusedError, UntrustedServerError
from hinterland.sync import TLS, Credentials, SyncUser, sync_directory
from hinterland.sync.http import request_json
from hinterland.sync.tls import public_key_of


@dataclass
class Secured:
    """A server with a certificate of its own authority; `heard` counts the requests that got through."""

    url: str
    ca_file: Path
    certificate: x509.Certificate
    heard: list[str]

    @property
    def certificate_pin(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    @property
    def key_pin(self) -> str:
        key = self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return "sha256/" + base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", f"https://localhost:{server.server_port}/target")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    certificate = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    yield Secured(f"https://localhost:{server.server_port}", ca_file, certificate, heard)
    server.shutdown()
    server.server_close()


def test_an_unknown_authority_is_not_trusted(secured: Secured) -> None:
    """Nothing is sent, and the message says how to name one's own authority."""
    with pytest.raises(UntrustedServerError, match=r"is not trusted: .*TLS\(ca_file="):
        request_json("GET", f"{secured.url}/unknown", token="secret")
    assert "/unknown" not in secured.heard


def test_a_named_authority_is_trusted(secured: Secured) -> None:
    """`ca_file` replaces the system's authorities (features.md §3.4)."""
    assert request_json("GET", f"{secured.url}/named", tls=TLS(secured.ca_file)) == {}


def test_pins_are_of_certificate_or_key(secured: Secured) -> None:
    """Either digest, in either notation, lets the right server through."""
    colons = ":".join(secured.certificate_pin[i : i + 2].upper() for i in range(0, 64, 2))
    for pin in (secured.certificate_pin, secured.key_pin, colons):
        assert request_json("GET", f"{secured.url}/pinned", tls=TLS(secured.ca_file, pins=["ab" * 32, pin])) == {}


def test_another_certificate_than_the_pinned_one_is_refused(secured: Secured) -> None:
    """Although an authority signed it, and before anything is sent."""
    with pytest.raises(UntrustedServerError, match="is not the pinned one"):
        request_json("GET", f"{secured.url}/other", token="secret", tls=TLS(secured.ca_file, pins=["ab" * 32]))
    assert "/other" not in secured.heard


def test_pins_do_not_replace_the_authorities(secured: Secured) -> None:
    """A pinned certificate must be valid as well."""
    with pytest.raises(UntrustedServerError):
        request_json("GET", f"{secured.url}/", tls=TLS(pins=[secured.key_pin]))


def test_redirections_are_not_followed(secured: Secured) -> None:
    """Tokens are for the server that was named only."""
    with pytest.raises(RequestRefusedError, match="302"):
        request_json("GET", f"{secured.url}/elsewhere", token="secret", tls=TLS(secured.ca_file))
    assert "/target" not in secured.heard


@pytest.mark.parametrize("pin", ["", "sha256/abc", "sha256/" + "A" * 43, "ab" * 31, "md5/" + "ab" * 32])
def test_malformed_pins_are_refused(pin: str) -> None:
    """With an example of a right one."""
    with pytest.raises(ConfigurationError, match="is no pin"):
        TLS(pins=[pin])


def test_a_missing_or_empty_ca_file_is_named(tmp_path: Path) -> None:
    """At once if there is none; when it is used, if there is nothing in it."""
    with pytest.raises(ConfigurationError, match="there is no file"):
        TLS(tmp_path / "absent.pem")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ConfigurationError, match="no usable certificates"):
        TLS(empty).context()


def test_settings_without_tls_are_refused() -> None:
    """Pins for a server that is not asked to show a certificate would protect nothing."""
    with pytest.raises(ConfigurationError, match="use an https:// URL"):
        SyncUser.log_in("http://localhost:1", Credentials.anonymous(), tls=TLS(pins=["ab" * 32]))


def test_the_settings_are_kept_with_the_user(secured: Secured, tmp_path: Path) -> None:
    """The next process trusts the same servers."""
    sync_directory(tmp_path / "home")
    tls = TLS(secured.ca_file, pins=[secured.key_pin])
    SyncUser.log_in(secured.url, Credentials.admin_token("t"), tls=tls)

    sync_directory(tmp_path / "home")  # as a new process does

    assert SyncUser.current is not None
    assert SyncUser.current._store.load()[0].tls == tls


def test_a_ca_file_that_went_away_is_told_when_it_is_used(secured: Secured, tmp_path: Path) -> None:
    """The user can still be found, and log out."""
    sync_directory(tmp_path / "home")
    copied = tmp_path / "ca.pem"
    copied.write_bytes(secured.ca_file.read_bytes())
    user = SyncUser.log_in(secured.url, Credentials.admin_token("t"), tls=TLS(copied))
    copied.unlink()

    with pytest.raises(ConfigurationError, match=r"ca\.pem has no usable certificates: .*No such file"):
        user.info()
    user.log_out()
    assert SyncUser.current is None


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x82\xff\xff\x00", b"\x30\x03\x30\x01\x02"])
def test_damaged_certificates_have_no_key(data: bytes) -> None:
    """They match no pin, and break nothing."""
    assert public_key_of(data) == b""


def test_the_key_is_that_of_other_parsers(secured: Secured) -> None:
    """The part that is cut out is what `cryptography` finds."""
    der = secured.certificate.public_bytes(Encoding.DER)
    expected = secured.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_of(der) == expected
