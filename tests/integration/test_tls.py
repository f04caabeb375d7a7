"""TLS: https and wss, renewed certificates, HSTS."""

from __future__ import annotations

import datetime as dt
import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.integration.server_client import TIMEOUT_S, RawClient

from hinterland.errors import ConfigurationError
from hinterland.server import Config, ObjectServer


def write_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, secret


def trusting() -> ssl.SSLContext:
    """A context that takes whatever certificate comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def subject_of(port: int) -> str:
    """Return the name in the certificate that the server shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    name = x509.load_pem_x509_certificate(pem.encode()).subject
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def wait_for_subject(port: int, wanted: str) -> None:
    """Wait until new connections are shown the wanted certificate."""
    deadline = time.monotonic() + TIMEOUT_S
    while subject_of(port) != wanted:
        assert time.monotonic() < deadline, f"the server still shows {subject_of(port)!r}"
        threading.Event().wait(0.02)


def test_renewed_certificates_are_taken_up_without_a_restart(tmp_path: Path) -> None:
    """Connections go on, new ones see the new certificate; a broken file changes nothing."""
    certificate, key = write_certificate(tmp_path, "first")
    server = ObjectServer(Config(data=tmp_path / "d", port=0, durable=False, tls_certificate=certificate, tls_key=key))
    with server:
        assert server.url.startswith("https://")
        with RawClient(server.url, server.admin_token(), ssl=trusting()) as client:
            client.join("/x")
            write_certificate(tmp_path, "second")
            server.reload_tls()
            assert subject_of(server.port) == "second"
            client.join("/y", session=2)
        key.write_text("rubbish")
        with pytest.raises(ConfigurationError, match="server.key"):
            server.reload_tls()
        assert subject_of(server.port) == "second"


def test_a_hang_up_signal_loads_the_certificate_anew(tmp_path: Path) -> None:
    """SIGHUP, as certificate tools send it; a broken file is logged, and the server goes on."""
    certificate, key = write_certificate(tmp_path, "first")
    command = [sys.executable, "-m", "hinterland.cli", "serve", "--port", "0", "--data", str(tmp_path / "d")]
    command += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"https://\S+:(\d+)", process.stdout.readline())
        assert found is not None
        port = int(found[1])
        assert subject_of(port) == "first"
        write_certificate(tmp_path, "second")
        os.kill(process.pid, signal.SIGHUP)
        wait_for_subject(port, "second")
        certificate.write_text("rubbish")
        os.kill(process.pid, signal.SIGHUP)
        assert process.stderr is not None
        assert "stays as it is" in process.stderr.readline()
        assert subject_of(port) == "second"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130  # interrupted, in good order


def headers_of(server: ObjectServer) -> http.client.HTTPMessage:
    """Return the headers of `/health`."""
    make = http.client.HTTPSConnection if server.url.startswith("https") else http.client.HTTPConnection
    options = {"context": trusting()} if make is http.client.HTTPSConnection else {}
    connection = make("127.0.0.1", server.port, timeout=TIMEOUT_S, **options)
    connection.request("GET", "/health")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers


def test_browsers_are_told_to_insist_on_tls(tmp_path: Path) -> None:
    """HSTS with a certificate of one's own or behind a proxy that has one; not in plain development."""
    certificate, key = write_certificate(tmp_path, "x")
    for number, (options, is_expected) in enumerate(
        [
            ({"tls_certificate": certificate, "tls_key": key}, True),
            ({"public_url": "https://sync.example.com"}, True),
            ({}, False),
        ]
    ):
        with ObjectServer(Config(data=tmp_path / str(number), port=0, durable=False, **options)) as server:  # type: ignore[arg-type]
            assert ("strict-transport-security" in headers_of(server)) == is_expected


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    """TLS 1.2 is the least."""
    certificate, key = write_certificate(tmp_path, "x")
    config = Config(data=tmp_path / "d", port=0, durable=False, tls_certificate=certificate, tls_key=key)
    with ObjectServer(config) as server:
        assert server._uvicorn is not None
        context = server._uvicorn.config.ssl
        assert context is not None
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
